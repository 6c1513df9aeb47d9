//! A set of registers of which only some may be known.

use super::Arch;
use crate::report::Address;
use std::collections::BTreeMap;

const COUNT: u16 = 64;

/// Values of registers by DWARF number; those not recovered are absent.
#[derive(Clone, Debug)]
pub struct Registers {
    values: [u64; COUNT as usize],
    known: u64,
}

impl Default for Registers {
    fn default() -> Self {
        Registers {
            values: [0; COUNT as usize],
            known: 0,
        }
    }
}

impl Registers {
    /// A register's value, when it is known.
    pub fn get(&self, number: u16) -> Option<u64> {
        let known = number < COUNT && self.known >> number & 1 == 1;
        known.then(|| self.values[usize::from(number)])
    }

    /// Sets or, with `None`, forgets a register.
    pub fn set(&mut self, number: u16, value: Option<u64>) {
        if number >= COUNT {
            return;
        }
        match value {
            Some(value) => {
                self.values[usize::from(number)] = value;
                self.known |= 1 << number;
            }
            None => self.known &= !(1 << number),
        }
    }

    /// All known registers that have a name.
    pub fn named(&self, arch: &Arch) -> BTreeMap<String, Address> {
        let known = |&(number, name): &(u16, &str)| {
            self.get(number)
                .map(|value| (name.to_owned(), Address(value)))
        };
        arch.names.iter().filter_map(known).collect()
    }
}
