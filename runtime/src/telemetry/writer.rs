//! Log lines on their way to stderr: kept for a moment and written by a thread of their own.
//!
//! A reader of stderr that stops reading stops the writing thread and nobody else. Lines that come together leave in
//! one write, which costs those who log less than writing themselves.

use std::io::{self, Write};
use std::mem;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Most bytes of lines that wait to be written; some thousand lines.
const WAITING_MAX_BYTES: usize = 2 * 1024 * 1024;

/// What the memory for lines may keep between two bursts.
const KEPT_BYTES: usize = 64 * 1024;

/// How long a line may wait for others to leave with.
const GATHERING: Duration = Duration::from_millis(3);

/// How long the last lines of the process may take.
const LAST_LINES_DEADLINE: Duration = Duration::from_secs(1);

/// Of this process, since logging belongs to the whole of it.
static LOST: AtomicU64 = AtomicU64::new(0);

/// How many log lines of this process were lost because stderr was not read fast enough.
pub fn lines_lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Lost and not yet told.
    lost: u64,
    /// The thread waits for lines, and somebody has to wake it.
    asleep: bool,
    /// The thread has lines in hand.
    writing: bool,
    /// No time to gather until everything is written.
    hurried: bool,
    /// No lines will follow.
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something for the thread.
    arrived: Condvar,
    /// The thread has nothing left.
    written: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.lines.len() + line.len() > WAITING_MAX_BYTES {
            waiting.lost += 1;
            LOST.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.lines.extend_from_slice(line);
        if mem::take(&mut waiting.asleep) {
            self.arrived.notify_one();
        }
    }

    /// Waits until everything is written, for a bounded time, without letting the thread gather any more; says whether
    /// all of it was.
    fn drain(&self) -> bool {
        let until = Instant::now() + LAST_LINES_DEADLINE;
        let mut waiting = self.lock();
        waiting.hurried = true;
        self.arrived.notify_one();
        while waiting.writing || !waiting.lines.is_empty() {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                // The thread is stuck in a write that only its reader can end.
                return false;
            };
            waiting = self.written.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Waits for lines, gathers, and gives them; the second value counts those lost before them. `None` at the end.
    fn next(&self, spare: Vec<u8>) -> Option<(Vec<u8>, u64)> {
        let mut waiting = self.lock();
        waiting.writing = false;
        while waiting.lines.is_empty() {
            waiting.hurried = false;
            self.written.notify_all();
            if waiting.closed {
                return None;
            }
            waiting.asleep = true;
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let gathered = self.arrived.wait_timeout_while(waiting, GATHERING, |waiting| !waiting.hurried);
        waiting = gathered.unwrap_or_else(PoisonError::into_inner).0;
        waiting.writing = true;
        Some((mem::replace(&mut waiting.lines, spare), mem::take(&mut waiting.lost)))
    }
}

/// Takes lines without waiting. Clones share one memory.
#[derive(Debug, Clone)]
pub(super) struct LogWriter {
    shared: Arc<Shared>,
}

impl LogWriter {
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(Self, LogThread)> {
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || write(&of_thread, out))?;
        Ok((Self { shared: shared.clone() }, LogThread { shared, thread }))
    }
}

/// Each call brings one whole line.
impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.shared.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn write(shared: &Shared, mut out: impl Write) {
    let mut spare = Vec::new();
    while let Some((mut lines, lost)) = shared.next(spare) {
        // There is nobody left to tell that stderr is gone.
        let _ = out.write_all(&lines).and_then(|()| out.flush());
        if lost > 0 {
            tracing::warn!(lost, "log lines were lost, as standard error was not read fast enough");
        }
        lines.clear();
        lines.shrink_to(KEPT_BYTES);
        spare = lines;
    }
}

/// The thread that writes.
#[derive(Debug)]
pub(super) struct LogThread {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl LogThread {
    /// Writes out what waits, for a bounded time; says whether that was all of it.
    pub(super) fn finish(self) -> bool {
        self.shared.lock().closed = true;
        self.shared.drain() && self.thread.join().is_ok()
    }

    /// Writes out what waits before a panic is told, since the process may end with it.
    pub(super) fn before_panics(&self) {
        let (shared, tell) = (self.shared.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |info| {
            shared.drain();
            tell(info);
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A reader that takes a chunk when it wants to.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn started() -> (LogWriter, LogThread, Receiver<Vec<u8>>) {
        let (to, from) = sync_channel(0);
        let (writer, thread) = LogWriter::start(Pipe(to)).unwrap();
        (writer, thread, from)
    }

    #[test]
    fn lines_arrive_in_order_and_the_last_ones_before_the_end() {
        let (mut writer, thread, from) = started();
        let reader = thread::spawn(move || from.iter().flatten().collect::<Vec<u8>>());
        let mut wanted = Vec::new();
        for number in 0..10_000 {
            let line = format!("line {number}\n");
            wanted.extend_from_slice(line.as_bytes());
            writer.write_all(line.as_bytes()).unwrap();
        }
        assert!(thread.finish());
        assert_eq!(reader.join().unwrap(), wanted);
    }

    #[test]
    fn a_reader_that_stops_reading_stops_nobody_and_what_it_missed_is_counted() {
        let (mut writer, thread, from) = started();
        let (line, before) = ([b'x'; 1023], lines_lost());
        let fitting = WAITING_MAX_BYTES / line.len();
        // Twice what fits into the memory, and what the thread may have in hand besides.
        for _ in 0..4 * fitting {
            writer.write_all(&line).unwrap();
        }
        let lost = lines_lost() - before;
        assert!(lost >= u64::try_from(2 * fitting).unwrap(), "{lost}");
        assert!(!thread.finish(), "what nobody reads cannot be finished");
        drop(from);
    }

    #[test]
    fn memory_of_a_burst_is_given_back() {
        let (mut writer, thread, from) = started();
        let reader = thread::spawn(move || from.iter().map(|chunk| chunk.len()).sum::<usize>());
        writer.write_all(&vec![b'x'; WAITING_MAX_BYTES]).unwrap();
        let shared = writer.shared.clone();
        while shared.lock().writing || !shared.lock().lines.is_empty() {
            thread::yield_now();
        }
        writer.write_all(b"small").unwrap();
        assert!(thread.finish());
        assert!(shared.lock().lines.capacity() <= KEPT_BYTES);
        assert_eq!(reader.join().unwrap(), WAITING_MAX_BYTES + 5);
    }
}
