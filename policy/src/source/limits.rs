//! How much one text may hold. A file of 100,000 rules stays well below each bound.

/// Longest text, in bytes.
pub const SOURCE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Deepest nesting of lists and mappings. The deepest field of any kind read here stands at about 12.
pub const DEPTH_MAX: usize = 64;

/// Most values in one text, each scalar, list, mapping and key counted once.
pub const VALUES_MAX: usize = 8_000_000;

/// Most values that the aliases of one text may stand for, all together.
pub const ALIASED_VALUES_MAX: usize = 100_000;

/// Most documents in one text.
pub const DOCUMENTS_MAX: usize = 200_000;
