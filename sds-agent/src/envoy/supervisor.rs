//! The task around [`super::supervision`]: starts Envoy, looks at it, passes signals on, and does what is decided.

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::time::Duration;

use rustix::process::Signal;
use signet_runtime::HealthHandle;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::admin::{AskError, EnvoyAdmin, Seen};
use super::bootstrap::Role;
use super::process::{Launch, Running};
use super::supervision::{Action, Ask, End, Event, Policy, Standing, Supervision};
use crate::metrics::Metrics;

/// How often Envoy is looked at until it is live.
const LOOK_SOON: Duration = Duration::from_millis(100);

/// How often Envoy is looked at from then on, and how often its connections are counted.
const LOOK: Duration = Duration::from_secs(1);

/// The silence of the admin interface that is told.
const SILENCE_TOLD: Duration = Duration::from_secs(10);

/// Most wishes that wait. Nobody has more to say than this.
const ASKS_MAX: usize = 8;

/// Why an Envoy can no longer be watched over. It is killed then.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// Nothing was started.
    #[error("cannot start a process for envoy")]
    Start(#[source] io::Error),
    /// The operating system does not say how it ended.
    #[error("cannot wait for envoy")]
    Wait(#[source] io::Error),
}

/// Signals to the agent, which from its making on no longer end it.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
    user: unix::Signal,
}

enum Told {
    Stop(&'static str),
    PassOn(Signal),
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the process may not install signal handlers.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: unix::signal(SignalKind::hangup())?,
            user: unix::signal(SignalKind::user_defined1())?,
        })
    }

    /// The next one. Losing this future loses nothing.
    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Told::Stop("SIGINT"),
            _ = self.hangup.recv() => Told::PassOn(Signal::HUP),
            _ = self.user.recv() => Told::PassOn(Signal::USR1),
        }
    }
}

/// Tells a supervisor what is wanted. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Wishes {
    asks: mpsc::Sender<Ask>,
    drained: watch::Receiver<bool>,
}

impl Wishes {
    /// Makes a wish known. One too many, or one that comes too late, changes nothing any more.
    pub fn ask(&self, ask: Ask) {
        let _ = self.asks.try_send(ask);
    }

    /// Waits until there is nothing left to drain.
    pub async fn drained(&mut self) {
        // A supervisor that is gone has nothing left either.
        let _ = self.drained.wait_for(|drained| *drained).await;
    }
}

/// Where a supervisor hears them.
#[derive(Debug)]
pub struct Heard {
    asks: mpsc::Receiver<Ask>,
    drained: watch::Sender<bool>,
}

/// Both ends of what can be wished.
pub fn wishes() -> (Wishes, Heard) {
    let (asks, heard) = mpsc::channel(ASKS_MAX);
    let (say, drained) = watch::channel(false);
    (Wishes { asks, drained }, Heard { asks: heard, drained: say })
}

enum Sight {
    Ready(Result<Seen, AskError>),
    Connections(Result<u64, AskError>),
}

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Watches over one Envoy.
#[derive(Debug)]
pub struct Supervisor {
    supervision: Supervision,
    launch: Launch,
    admin: EnvoyAdmin,
    role: Role,
    health: HealthHandle,
    metrics: Metrics,
    begun: Instant,
    /// What was last seen of it, unless it is live.
    lacks: Option<String>,
    was_live: bool,
    told_silent: bool,
}

impl Supervisor {
    /// A supervisor; nothing runs yet.
    pub fn new(
        policy: Policy,
        launch: Launch,
        admin: EnvoyAdmin,
        role: Role,
        health: HealthHandle,
        metrics: Metrics,
    ) -> Self {
        let (supervision, begun) = (Supervision::new(policy), Instant::now());
        let lacks = Some("has not answered yet".to_owned());
        Self { supervision, launch, admin, role, health, metrics, begun, lacks, was_live: false, told_silent: false }
    }

    /// Starts Envoy and stays with it until it is over; the status to end with.
    ///
    /// # Errors
    /// [`SupervisorError`].
    pub async fn run(mut self, mut heard: Heard, mut signals: Signals) -> Result<u8, SupervisorError> {
        let mut running: Option<Running> = None;
        let mut look = self.look();
        let mut order: Later<()> = Box::pin(pending());
        loop {
            let wake = self.supervision.wake().map(|wake| self.begun + wake);
            let event = tokio::select! {
                ended = ended(&mut running) => {
                    running = None;
                    self.ended(ended.map_err(SupervisorError::Wait)?)
                }
                told = signals.next() => match told {
                    Told::Stop(signal) => {
                        tracing::info!(signal, "stopping");
                        Event::Asked(Ask::Stop)
                    }
                    Told::PassOn(signal) => {
                        running.iter().for_each(|running| running.signal(signal));
                        continue;
                    }
                },
                Some(ask) = heard.asks.recv() => Event::Asked(ask),
                sight = &mut look, if running.is_some() => {
                    let event = self.seen(sight);
                    look = self.look();
                    event
                }
                () = &mut order => {
                    order = Box::pin(pending());
                    continue;
                }
                () = until(wake) => Event::Time,
            };
            match self.supervision.on(event, self.begun.elapsed()) {
                Some(Action::Start) => {
                    running = Some(self.start()?);
                    look = self.look();
                }
                Some(Action::Drain) => {
                    tracing::info!(role = %self.role, "envoy drains");
                    order = drain(self.admin.clone(), self.role);
                    look = self.look();
                }
                Some(Action::Terminate) => {
                    tracing::info!("envoy is told to end");
                    running.iter().for_each(|running| running.signal(Signal::TERM));
                }
                Some(Action::Kill) => {
                    tracing::error!("envoy neither answers nor ends, and is killed");
                    running.iter().for_each(|running| running.signal(Signal::KILL));
                }
                Some(Action::Exit(code)) => return Ok(code),
                None => {}
            }
            let is_drained = self.supervision.is_drained();
            heard.drained.send_if_modified(|drained| std::mem::replace(drained, is_drained) != is_drained);
            self.tell();
        }
    }

    fn start(&mut self) -> Result<Running, SupervisorError> {
        let running = self.launch.start().map_err(SupervisorError::Start)?;
        tracing::info!(pid = running.pid(), program = %self.launch.program.display(), "envoy started");
        self.metrics.envoy_started();
        (self.was_live, self.lacks) = (false, Some("has not answered yet".to_owned()));
        Ok(running)
    }

    fn ended(&mut self, end: End) -> Event {
        match end {
            End::Status(0) => tracing::info!("envoy ended with status 0"),
            End::Signal(9) => {
                tracing::error!("envoy was killed; if nobody here did that, its memory was wanted");
            }
            end => tracing::error!(%end, "envoy ended"),
        }
        self.metrics.envoy_ended(end);
        (self.was_live, self.lacks) = (false, Some(format!("has ended with {end}")));
        Event::Ended(end)
    }

    /// The next look: soon until it is live.
    fn look(&self) -> Later<Sight> {
        let (admin, counts, was_live) = (self.admin.clone(), self.supervision.counts(), self.was_live);
        Box::pin(async move {
            sleep(if was_live { LOOK } else { LOOK_SOON }).await;
            if counts {
                Sight::Connections(admin.connections().await)
            } else {
                Sight::Ready(admin.look(!was_live).await)
            }
        })
    }

    fn seen(&mut self, sight: Sight) -> Event {
        let event = match sight {
            Sight::Connections(count) => {
                if let Err(error) = &count {
                    tracing::warn!(%error, "connections cannot be counted");
                }
                return Event::Connections(count.ok());
            }
            Sight::Ready(Ok(Seen::Live)) => {
                if !self.was_live {
                    tracing::info!("envoy is live");
                }
                (self.was_live, self.lacks) = (true, None);
                Event::Heard { live: true }
            }
            Sight::Ready(Ok(Seen::NotLive(why))) => {
                self.lacks = Some(why);
                Event::Heard { live: false }
            }
            Sight::Ready(Err(error)) => {
                tracing::debug!(%error, "envoy was looked at in vain");
                return Event::Unheard;
            }
        };
        if std::mem::take(&mut self.told_silent) {
            tracing::info!("envoy answers again");
        }
        event
    }

    /// Tells readiness how it stands.
    fn tell(&mut self) {
        let standing = self.supervision.standing(self.begun.elapsed());
        self.metrics.envoy_live(standing == Standing::Up { silent: None } && self.lacks.is_none());
        match standing {
            Standing::Waiting { last: Some(end), failures, of } => {
                self.health.not_ready(format!("has ended with {end} and is started again, {failures} of {of} times"));
            }
            Standing::Waiting { last: None, .. } => self.health.not_ready("starting"),
            Standing::Up { silent: Some(silent) } if silent >= SILENCE_TOLD => {
                if !std::mem::replace(&mut self.told_silent, true) {
                    tracing::error!(seconds = silent.as_secs(), "envoy's admin interface does not answer");
                }
                self.health.not_ready(format!("has not answered for {} seconds", silent.as_secs()));
            }
            Standing::Up { .. } => match &self.lacks {
                Some(why) => self.health.not_ready(why.as_str()),
                None => self.health.ready(),
            },
            Standing::Draining => self.health.not_ready("drains"),
            Standing::Ending => self.health.not_ready("ends"),
        }
    }
}

async fn ended(running: &mut Option<Running>) -> io::Result<End> {
    match running {
        Some(running) => running.ended().await,
        None => pending().await,
    }
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake).await,
        None => pending().await,
    }
}

fn drain(admin: EnvoyAdmin, role: Role) -> Later<()> {
    Box::pin(async move {
        if let Err(error) = admin.drain(role).await {
            tracing::warn!(%error, "envoy cannot be told to drain");
        }
    })
}
