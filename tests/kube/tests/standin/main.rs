//! The stand-in held against what a real API server was recorded to answer, and against the API's documentation.

#[cfg(test)]
mod client;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod normal;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod watches;
