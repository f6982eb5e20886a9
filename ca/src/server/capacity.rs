//! How many connections there may be: each is an open file, and the server needs some for everything else.

/// Most connections open at once, however many files may be; more wait in the operating system's queue.
const CONNECTIONS_MAX: usize = 16_384;

/// Open files that are kept for the ledger, watches, health, other endpoints, a token and operators.
const KEPT_FILES: u64 = 512;

/// Most connections of one endpoint of documents, handshakes included: its readers come every few minutes.
const ENDPOINT_CONNECTIONS_MAX: u64 = 128;

/// Which share of the files that are kept one such endpoint may take, at most: there are two of them.
const ENDPOINT_SHARE: u64 = 4;

/// Most connections of one endpoint of documents, for a process that may have `files` open: out of those that are kept.
pub(crate) fn endpoint_connections(files: u64) -> usize {
    let most = (kept(files) / ENDPOINT_SHARE).clamp(1, ENDPOINT_CONNECTIONS_MAX);
    usize::try_from(most).unwrap_or(1)
}

fn kept(files: u64) -> u64 {
    KEPT_FILES.min(files / 2)
}

/// Most connections for a process that may have `files` open.
pub(super) fn connections(files: u64) -> usize {
    let rest = files.saturating_sub(kept(files));
    usize::try_from(rest).unwrap_or(usize::MAX).clamp(1, CONNECTIONS_MAX)
}

/// Says how many it came to, and when that is less than could be served.
pub(super) fn tell(files: u64, connections: usize) {
    if connections < CONNECTIONS_MAX {
        let wanted = CONNECTIONS_MAX as u64 + KEPT_FILES;
        tracing::warn!(files, connections, wanted, "fewer files may be open than connections can be served");
    } else {
        tracing::info!(files, connections, "connections are bounded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_everything_else() {
        for (files, wanted) in [
            (0, 1),
            (64, 32),
            (1_024, 512),
            (2_048, 1_536),
            (16_895, 16_383),
            (16_896, CONNECTIONS_MAX),
            (1 << 20, CONNECTIONS_MAX),
            (u64::MAX, CONNECTIONS_MAX),
        ] {
            assert_eq!(connections(files), wanted, "{files}");
        }
    }

    #[test]
    fn both_endpoints_of_documents_leave_half_of_what_is_kept() {
        for (files, wanted) in [(0, 1), (16, 2), (300, 37), (1_024, 128), (1 << 20, 128), (u64::MAX, 128)] {
            assert_eq!(endpoint_connections(files), wanted, "{files}");
            assert!(files < 16 || 2 * endpoint_connections(files) as u64 <= kept(files) / 2 + 2, "{files}");
        }
    }
}
