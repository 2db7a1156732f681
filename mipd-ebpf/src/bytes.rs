//! The one place where raw memory is read and written: packet bytes and the byte arrays in map values.
//!
//! A [`Frame`] is what the kernel shows of a packet. [`Frame::take`] compares its bounds once and gives a view of a fixed
//! number of bytes; all accesses through the view are then checked by the compiler. Words are in memory order.
//!
//! Wide loads are used where Rust would ask for an aligned pointer. The verifier checks alignment on machines that need
//! it: packets start two bytes off a word (`NET_IP_ALIGN`), so 16-bit loads fit the Ethernet header and 32-bit loads the
//! IPv4 header. Elsewhere Ethernet headers are read and written in larger words.

use core::{marker::PhantomData, mem::MaybeUninit, ops::Deref};

use mipd_common::maps::{Address, Mac};

/// Whether words may lie anywhere: on these machines they cost the same there, and the verifier knows it.
const ANYWHERE: bool = cfg!(any(bpf_target_arch = "x86_64", bpf_target_arch = "aarch64"));

/// The linear part of a packet, as the context describes it now. Void after any helper that changes the packet.
#[derive(Clone, Copy)]
pub struct Frame {
    start: usize,
    end: usize,
}

impl Frame {
    /// Takes the context's `data` and `data_end`.
    #[inline(always)]
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// Bytes in the linear part.
    #[inline(always)]
    pub fn length(self) -> usize {
        self.end - self.start
    }

    /// The first `N` bytes, if the packet has them.
    #[inline(always)]
    pub fn take<const N: usize>(self) -> Option<BytesMut<N>> {
        self.take_at::<N>(0)
    }

    /// `N` bytes from a computed offset, which the caller has limited to a small number (the verifier insists).
    #[inline(always)]
    pub fn take_at<const N: usize>(self, offset: usize) -> Option<BytesMut<N>> {
        let start = self.start + offset;
        if start + N > self.end {
            return None;
        }
        Some(BytesMut { bytes: Bytes { start: start as *const u8, life: PhantomData } })
    }
}

/// `N` readable bytes.
#[derive(Clone, Copy)]
pub struct Bytes<'a, const N: usize> {
    start: *const u8,
    life: PhantomData<&'a [u8; N]>,
}

impl<'a, const N: usize> Bytes<'a, N> {
    /// Views a byte array of a map value. It must lie at an address that is aligned for the accesses made.
    #[inline(always)]
    pub fn of(array: &'a [u8; N]) -> Self {
        Self { start: array.as_ptr(), life: PhantomData }
    }

    /// The byte at `AT`.
    #[inline(always)]
    pub fn byte<const AT: usize>(self) -> u8 {
        const { assert!(AT < N) };
        // SAFETY: `AT` is within the `N` bytes that the constructor has proven to exist.
        unsafe { *self.start.add(AT) }
    }

    /// The 16-bit word at `AT`, memory order.
    #[inline(always)]
    pub fn half<const AT: usize>(self) -> u16 {
        const { assert!(AT + 2 <= N) };
        // SAFETY: in bounds as above; alignment is the verifier's business (see the module's documentation).
        unsafe { *self.start.add(AT).cast::<u16>() }
    }

    /// The 32-bit word at `AT`, memory order.
    #[inline(always)]
    pub fn word<const AT: usize>(self) -> u32 {
        const { assert!(AT + 4 <= N) };
        // SAFETY: as for `half`.
        unsafe { *self.start.add(AT).cast::<u32>() }
    }

    #[inline(always)]
    fn long<const AT: usize>(self) -> u64 {
        const { assert!(AT + 8 <= N) };
        // SAFETY: as for `half`.
        unsafe { *self.start.add(AT).cast::<u64>() }
    }

    /// The 32-bit word at `AT`, memory order, wherever it lies.
    #[inline(always)]
    fn loose_word<const AT: usize>(self) -> u32 {
        if ANYWHERE {
            return self.word::<AT>();
        }
        let half = self.part::<AT, 4>();
        let (first, second) = (half.half::<0>() as u32, half.half::<2>() as u32);
        if cfg!(target_endian = "little") { first | second << 16 } else { first << 16 | second }
    }

    /// The Ethernet address at `AT`, as a map key. It is stored as one word, for it will be loaded as larger ones than it
    /// consists of, and processors wait when they cannot forward a store to a load.
    #[inline(always)]
    pub fn mac<const AT: usize>(self) -> Mac {
        let own = self.part::<AT, 6>();
        let (first, second) = (own.loose_word::<0>() as u64, own.half::<4>() as u64);
        let key = if cfg!(target_endian = "little") { first | second << 32 } else { first << 32 | second << 16 };
        // SAFETY: `Mac` is eight bytes without padding.
        unsafe { core::mem::transmute::<u64, Mac>(key) }
    }

    /// The `M` bytes at `AT`.
    #[inline(always)]
    pub fn part<const AT: usize, const M: usize>(self) -> Bytes<'a, M> {
        const { assert!(AT + M <= N) };
        // SAFETY: in bounds as above.
        Bytes { start: unsafe { self.start.add(AT) }, life: PhantomData }
    }

    /// Whether the Ethernet address at `AT` is `other`.
    #[inline(always)]
    pub fn mac_is<const AT: usize>(self, other: &[u8; 6]) -> bool {
        let (own, other) = (self.part::<AT, 6>(), Bytes::of(other));
        own.loose_word::<0>() == other.loose_word::<0>() && own.half::<4>() == other.half::<4>()
    }
}

impl Bytes<'_, 6> {
    /// An Ethernet address in halves, memory order.
    #[inline(always)]
    pub fn halves(self) -> [u16; 3] {
        [self.half::<0>(), self.half::<2>(), self.half::<4>()]
    }
}

/// `N` bytes of a packet, writable.
#[derive(Clone, Copy)]
pub struct BytesMut<const N: usize> {
    bytes: Bytes<'static, N>,
}

impl<const N: usize> Deref for BytesMut<N> {
    type Target = Bytes<'static, N>;

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.bytes
    }
}

impl<const N: usize> BytesMut<N> {
    /// Views memory of the program itself, aligned for the accesses made. It is not to be read before it was written.
    #[inline(always)]
    pub fn of(array: &mut MaybeUninit<[u8; N]>) -> Self {
        Self { bytes: Bytes { start: array.as_mut_ptr().cast(), life: PhantomData } }
    }

    /// Writes the byte at `AT`.
    #[inline(always)]
    pub fn set_byte<const AT: usize>(self, value: u8) {
        const { assert!(AT < N) };
        // SAFETY: `AT` is within the `N` packet bytes that `Frame::take_at` has proven to exist.
        unsafe { *self.bytes.start.add(AT).cast_mut() = value }
    }

    /// Writes the 16-bit word at `AT`, memory order.
    #[inline(always)]
    pub fn set_half<const AT: usize>(self, value: u16) {
        const { assert!(AT + 2 <= N) };
        // SAFETY: in bounds as above; alignment is the verifier's business (see the module's documentation).
        unsafe { *self.bytes.start.add(AT).cast_mut().cast::<u16>() = value }
    }

    /// Writes the 32-bit word at `AT`, memory order.
    #[inline(always)]
    pub fn set_word<const AT: usize>(self, value: u32) {
        const { assert!(AT + 4 <= N) };
        // SAFETY: as for `set_half`.
        unsafe { *self.bytes.start.add(AT).cast_mut().cast::<u32>() = value }
    }

    /// Writes the Ethernet address at `AT`.
    #[inline(always)]
    pub fn set_mac<const AT: usize>(self, value: Bytes<'_, 6>) {
        let own = self.part_mut::<AT, 6>();
        if ANYWHERE {
            own.set_word::<0>(value.word::<0>());
        } else {
            own.set_half::<0>(value.half::<0>());
            own.set_half::<2>(value.half::<2>());
        }
        own.set_half::<4>(value.half::<4>());
    }

    /// Writes the Ethernet address at `AT`, given by its halves: memory order.
    #[inline(always)]
    pub fn set_halves<const AT: usize>(self, value: [u16; 3]) {
        let own = self.part_mut::<AT, 6>();
        own.set_half::<0>(value[0]);
        own.set_half::<2>(value[1]);
        own.set_half::<4>(value[2]);
    }

    /// Writes a whole Ethernet header at `AT`.
    #[inline(always)]
    pub fn set_ethernet<const AT: usize>(self, value: Bytes<'_, 14>) {
        let own = self.part_mut::<AT, 14>();
        if ANYWHERE {
            own.set_long::<0>(value.long::<0>());
            own.set_word::<8>(value.word::<8>());
        } else {
            own.set_mac::<0>(value.part::<0, 6>());
            own.set_mac::<6>(value.part::<6, 6>());
        }
        own.set_half::<12>(value.half::<12>());
    }

    #[inline(always)]
    fn set_long<const AT: usize>(self, value: u64) {
        const { assert!(AT + 8 <= N) };
        // SAFETY: as for `set_half`.
        unsafe { *self.bytes.start.add(AT).cast_mut().cast::<u64>() = value }
    }

    /// The `M` bytes at `AT`, writable.
    #[inline(always)]
    pub fn part_mut<const AT: usize, const M: usize>(self) -> BytesMut<M> {
        BytesMut { bytes: self.bytes.part::<AT, M>() }
    }
}

/// An address of a map value as a word in memory order. Addresses lie at multiples of four there.
#[inline(always)]
pub fn address(of: &Address) -> u32 {
    Bytes::of(of).word::<0>()
}
