//! How large each kernel program is: instructions and stack.

use std::fmt;

use anyhow::Result;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind, SymbolKind};

/// Bytes of an instruction slot.
const SLOT: usize = 8;
/// The frame pointer's register number.
const FRAME: u8 = 10;
/// A call, and what its source register says if it is one of a function in the object.
const CALL: u8 = 0x85;
const PSEUDO_CALL: u8 = 1;

/// A program in an object.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// Its entry point.
    pub name: String,
    /// Where it is in the object.
    pub section: String,
    /// Instruction slots.
    pub instructions: usize,
    /// Bytes of stack.
    pub stack: u32,
    /// Calls of functions that are not the kernel's.
    pub calls: usize,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  {:<20} {:<12} {:>5} instructions {:>4} bytes of stack",
            self.name, self.section, self.instructions, self.stack
        )
    }
}

/// The programs of an object, by name. Functions in `.text` are called by programs and are no programs.
pub fn programs(object: &[u8]) -> Result<Vec<Program>> {
    let file = object::File::parse(object)?;
    let little_endian = file.is_little_endian();
    let mut programs = Vec::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_global()) {
        let Some(index) = symbol.section_index() else { continue };
        let section = file.section_by_index(index)?;
        let section_name = section.name()?;
        if section.kind() != SectionKind::Text || section_name == ".text" {
            continue;
        }
        let Some(code) = section.data_range(symbol.address(), symbol.size())? else { continue };
        programs.push(Program {
            name: symbol.name()?.to_owned(),
            section: section_name.to_owned(),
            instructions: code.len() / SLOT,
            stack: stack(code, little_endian),
            calls: calls(code, little_endian),
        });
    }
    programs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(programs)
}

/// How often another function of the object is called.
fn calls(code: &[u8], little_endian: bool) -> usize {
    let source = |slot: &[u8]| if little_endian { slot[1] >> 4 } else { slot[1] & 0xf };
    code.chunks_exact(SLOT).filter(|slot| slot[0] == CALL && source(slot) == PSEUDO_CALL).count()
}

/// The deepest byte below the frame pointer that an instruction touches or points to.
fn stack(code: &[u8], little_endian: bool) -> u32 {
    let mut depth = 0;
    let mut pointer = None;
    let mut slots = code.chunks_exact(SLOT);
    while let Some(slot) = slots.next() {
        let (low, high) = (slot[1] & 0xf, slot[1] >> 4);
        let (destination, source) = if little_endian { (low, high) } else { (high, low) };
        let (offset, immediate) = ([slot[2], slot[3]], [slot[4], slot[5], slot[6], slot[7]]);
        let (offset, immediate) = if little_endian {
            (i16::from_le_bytes(offset), i32::from_le_bytes(immediate))
        } else {
            (i16::from_be_bytes(offset), i32::from_be_bytes(immediate))
        };
        let below = match (slot[0], slot[0] & 0x7) {
            // A 64-bit constant fills two slots; the second is no instruction.
            (0x18, _) => {
                slots.next();
                0
            }
            (_, 1) if source == FRAME => i32::from(offset),
            (_, 2 | 3) if destination == FRAME => i32::from(offset),
            // r = r10; r += constant
            (0x07, _) if pointer == Some(destination) => immediate,
            _ => 0,
        };
        depth = depth.max(below.min(0).unsigned_abs());
        pointer = (slot[0] == 0xbf && source == FRAME).then_some(destination);
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(opcode: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> [u8; SLOT] {
        let mut slot = [opcode, source << 4 | destination, 0, 0, 0, 0, 0, 0];
        slot[2..4].copy_from_slice(&offset.to_le_bytes());
        slot[4..].copy_from_slice(&immediate.to_le_bytes());
        slot
    }

    #[test]
    fn stores_loads_and_pointers_count_towards_the_stack() {
        let store = instruction(0x7b, 10, 1, -24, 0);
        let load = instruction(0x79, 1, 10, -40, 0);
        let pointer = [instruction(0xbf, 2, 10, 0, 0), instruction(0x07, 2, 0, 0, -64)].concat();
        assert_eq!(stack(&store, true), 24);
        assert_eq!(stack(&[store, load].concat(), true), 40);
        assert_eq!(stack(&[store.to_vec(), pointer].concat(), true), 64);
    }

    #[test]
    fn other_registers_and_constants_do_not() {
        let elsewhere = instruction(0x7b, 1, 2, -24, 0);
        let sum = instruction(0x07, 2, 0, 0, -64);
        // The second slot of the constant looks like a store to the stack.
        let constant = [instruction(0x18, 1, 0, 0, 0), instruction(0x7b, 10, 1, -80, 0)].concat();
        assert_eq!(stack(&[elsewhere.to_vec(), sum.to_vec(), constant].concat(), true), 0);
    }

    #[test]
    fn calls_of_the_kernels_functions_do_not_count() {
        let (kernels, own) = (instruction(0x85, 0, 0, 0, 69), instruction(0x85, 0, 1, 0, -1));
        assert_eq!(calls(&[kernels, own, kernels].concat(), true), 1);
    }

    #[test]
    fn a_big_endian_object_has_the_registers_the_other_way_round() {
        let mut store = instruction(0x7b, 1, 10, 0, 0);
        store[2..4].copy_from_slice(&(-16_i16).to_be_bytes());
        assert_eq!(stack(&store, false), 16);
    }
}
