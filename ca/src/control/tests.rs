//! A socket on a real path, with one subject behind it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use signet_runtime::ShutdownTrigger;
use signet_testkit::{TempDir, temp_dir};
use tokio::task::{JoinHandle, spawn_blocking};

use super::*;

struct Echo;

#[tonic::async_trait]
impl Subject for Echo {
    async fn answer(&self, verb: &str, arguments: Value) -> Answer {
        match verb {
            "say" => Answer::Done(arguments),
            _ => Answer::Refused(format!("`{verb}` is not said here")),
        }
    }
}

struct Served {
    dir: TempDir,
    trigger: ShutdownTrigger,
    task: JoinSet<Result<(), Infallible>>,
}

impl Served {
    fn start() -> Self {
        let dir = temp_dir();
        let (trigger, shutdown) = Shutdown::new();
        let socket = Socket::bind(&dir.path().join("c.sock")).unwrap().unwrap();
        let mut task = JoinSet::new();
        task.spawn(serve(socket, Subjects::from([("echo", Box::new(Echo) as Box<dyn Subject>)]), shutdown));
        Self { dir, trigger, task }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("c.sock")
    }
}

fn asked(path: &Path, subject: &str, verb: &str) -> JoinHandle<Result<Answer, AskError>> {
    let path = path.to_owned();
    let question = Question { subject: subject.to_owned(), verb: verb.to_owned(), arguments: json!({"n": 1}) };
    spawn_blocking(move || ask(&path, &question))
}

#[tokio::test]
async fn a_question_is_answered_by_its_subject() {
    let served = Served::start();
    let check = async |subject: &str, verb: &str, wanted: Answer| {
        assert_eq!(asked(&served.path(), subject, verb).await.unwrap().unwrap(), wanted);
    };
    check("echo", "say", Answer::Done(json!({"n": 1}))).await;
    check("echo", "sing", Answer::Refused("`sing` is not said here".to_owned())).await;
    check("moon", "say", Answer::Failed("nothing is known here about `moon`".to_owned())).await;
}

#[tokio::test]
async fn several_questions_follow_on_one_connection_and_nonsense_is_told_as_such() {
    let served = Served::start();
    let mut stream = UnixStream::connect(served.path()).await.unwrap();
    stream.write_all(b"nonsense\n{\"subject\":\"echo\",\"verb\":\"say\"}\n").await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert!(lines.next_line().await.unwrap().unwrap().starts_with("{\"failed\":\"not a question"));
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "{\"done\":null}");
}

#[tokio::test]
async fn a_line_without_an_end_is_cut_off() {
    let served = Served::start();
    let mut stream = UnixStream::connect(served.path()).await.unwrap();
    let flood = vec![b'x'; LINE_MAX_BYTES + 10];
    // The other side may close before everything is written.
    let _ = stream.write_all(&flood).await;
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next_line().await.unwrap_or_default().unwrap_or_default();
    assert!(first.is_empty() || first.contains("not a question"), "{first}");
    assert!(matches!(lines.next_line().await, Ok(None) | Err(_)));
}

#[tokio::test]
async fn only_its_own_user_may_open_it_and_it_goes_with_its_owner() {
    let mut served = Served::start();
    let mode = fs::metadata(served.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(served.dir.path()).unwrap().count(), 1, "nothing is left beside it");
    served.trigger.trigger();
    served.task.join_next().await.unwrap().unwrap().unwrap();
    assert!(!served.path().exists());
    let error = asked(&served.path(), "echo", "say").await.unwrap().unwrap_err();
    assert!(error.to_string().starts_with("cannot reach a running authority at `"), "{error}");
}

#[tokio::test]
async fn a_socket_that_is_served_is_left_alone_and_a_dead_one_replaced() {
    let served = Served::start();
    assert!(Socket::bind(&served.path()).unwrap().is_none());
    assert!(asked(&served.path(), "echo", "say").await.unwrap().is_ok());

    let dead = served.dir.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    assert!(Socket::bind(&dead).unwrap().is_some());

    let file = served.dir.path().join("file");
    fs::write(&file, "in the way").unwrap();
    assert!(matches!(Socket::bind(&file), Err(BindError::NotASocket { .. })));
    let nowhere = served.dir.path().join("no/such/c.sock");
    assert!(Socket::bind(&nowhere).unwrap_err().to_string().contains("cannot bind control socket"));
}

#[tokio::test]
async fn more_operators_than_there_are_places_are_turned_away() {
    let served = Served::start();
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = UnixStream::connect(served.path()).await.unwrap();
        stream.write_all(b"{\"subject\":\"echo\",\"verb\":\"say\"}\n").await.unwrap();
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).await.unwrap();
        held.push(stream);
    }
    assert!(asked(&served.path(), "echo", "say").await.unwrap().is_err());
    held.clear();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while asked(&served.path(), "echo", "say").await.unwrap().is_err() {
        assert!(tokio::time::Instant::now() < deadline, "a place should be free again");
    }
}
