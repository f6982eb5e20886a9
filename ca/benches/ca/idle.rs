//! A server that nobody asks for anything.

use std::error::Error;
use std::thread;
use std::time::Duration;

use crate::material::Material;
use crate::process::Server;

/// Time after the start in which it settles.
const SETTLING: Duration = Duration::from_secs(3);

/// Bytes of memory that it holds.
pub(crate) fn measure(material: &Material) -> Result<u64, Box<dyn Error>> {
    let server = Server::start(material, "idle", &[], None)?;
    thread::sleep(SETTLING);
    Ok(server.memory()?.0)
}
