//! The two slots as files: `state.0` and `state.1`.
//!
//! A slot is a file of its own: symbolic links are not followed, so nobody who can write into the directory makes the
//! agent, which may be root, write elsewhere; and a pipe left in place of a slot does not hang it.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// One of the two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// `state.0`
    Zero,
    /// `state.1`
    One,
}

impl Slot {
    /// Both.
    pub const BOTH: [Slot; 2] = [Slot::Zero, Slot::One];

    /// Its file name.
    pub fn file_name(self) -> &'static str {
        match self {
            Slot::Zero => "state.0",
            Slot::One => "state.1",
        }
    }

    /// The one that is not this one.
    pub fn other(self) -> Slot {
        match self {
            Slot::Zero => Slot::One,
            Slot::One => Slot::Zero,
        }
    }
}

/// What two slots are kept on.
pub trait Medium {
    /// Everything in the slot; a slot never written is empty.
    fn read(&mut self, slot: Slot) -> io::Result<Vec<u8>>;
    /// Overwrites the slot in place. Until [`Medium::sync`] returns, any part of it may be lost.
    fn write(&mut self, slot: Slot, bytes: &[u8]) -> io::Result<()>;
    /// Returns when the slot's bytes and its name survive a power cut.
    fn sync(&mut self, slot: Slot) -> io::Result<()>;
}

/// Slots in a directory that already exists.
#[derive(Debug)]
pub struct FileMedium {
    dir: PathBuf,
    /// Whose name this process has made durable; overwriting in place does not change it.
    named: [bool; 2],
}

/// Nothing a slot holds is longer; a larger file is read no further.
const MAX_SLOT_BYTES: u64 = 256 * 1024;

impl FileMedium {
    /// The slots in this directory, which exists.
    pub fn new(dir: PathBuf) -> FileMedium {
        FileMedium { dir, named: [false; 2] }
    }

    fn open(&self, slot: Slot) -> io::Result<File> {
        open(&self.dir.join(slot.file_name()), OpenOptions::new().write(true).create(true).truncate(false))
    }
}

/// Opens a slot that is a file, and nothing else that may have its name.
fn open(path: &Path, how: &mut OpenOptions) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let opened = how.mode(0o600).custom_flags(flags).open(path).and_then(|file| {
        let regular = file.metadata()?.is_file();
        Ok((file, regular))
    });
    let what = match opened {
        Ok((file, true)) => return Ok(file),
        Ok((_, false)) => "is not a regular file",
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            "is a symbolic link, which is not followed"
        }
        // Opened to be written, with nobody at the other end.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => "is a pipe",
        Err(error) => return Err(error),
    };
    let path = path.display();
    Err(io::Error::other(format!(
        "{path} {what}; put a slot in its place that is a file (move what it leads to here), or point state_dir at its directory"
    )))
}

impl Medium for FileMedium {
    fn read(&mut self, slot: Slot) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match open(&self.dir.join(slot.file_name()), OpenOptions::new().read(true)) {
            Ok(file) => {
                file.take(MAX_SLOT_BYTES).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(bytes),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, slot: Slot, bytes: &[u8]) -> io::Result<()> {
        // Not truncated: what is behind the record is covered by no checksum, and blocks once won are kept.
        self.open(slot)?.write_all(bytes)
    }

    fn sync(&mut self, slot: Slot) -> io::Result<()> {
        self.open(slot)?.sync_data()?;
        let [zero, one] = &mut self.named;
        let named = match slot {
            Slot::Zero => zero,
            Slot::One => one,
        };
        if !*named {
            File::open(&self.dir)?.sync_all()?;
            *named = true;
        }
        Ok(())
    }
}
