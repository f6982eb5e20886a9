//! Blocks of IP addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::PatternError;

/// An address or a block of them. Host bits are kept as written and do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: IpAddr,
    /// At most 32 or 128, by the family.
    prefix: u8,
}

impl Cidr {
    /// The block of the first `prefix` bits of an address; `None` when the address has not that many.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= bits_of(address)).then_some(Self { address, prefix })
    }

    /// The address as it was written.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many leading bits count.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether `address` is in the block. Families never match each other.
    pub fn contains(self, address: IpAddr) -> bool {
        self.family_and_bits() == (Self { address, prefix: self.prefix }).family_and_bits()
    }

    /// Whether the address is one of IPv6, and the bits that count, left-aligned.
    pub fn family_and_bits(self) -> (bool, u128) {
        let (is_six, bits) = aligned(self.address);
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
        (is_six, bits & mask)
    }
}

/// Whether `address` is one of IPv6, and its bits, left-aligned in 128.
fn aligned(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(address) => (false, u128::from(address.to_bits()) << 96),
        IpAddr::V6(address) => (true, address.to_bits()),
    }
}

fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Cidr {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| PatternError::Cidr)?;
        let max = bits_of(address);
        let Some(prefix) = prefix else { return Ok(Self { address, prefix: max }) };
        let plain = !prefix.is_empty() && prefix.len() <= 3 && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let given: u32 =
            if plain { prefix.parse().map_err(|_| PatternError::Cidr)? } else { return Err(PatternError::Cidr) };
        match u8::try_from(given) {
            Ok(prefix) if prefix <= max => Ok(Self { address, prefix }),
            _ => Err(PatternError::PrefixLength { given, max }),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == bits_of(self.address) {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}
