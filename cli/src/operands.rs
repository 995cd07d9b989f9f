//! The tensors that a command line names: read, converted, and found again in error messages.

use std::ffi::OsString;
use std::sync::Arc;

use clap::ArgMatches;
use wgloss::{Call, Dtype, Engine, Error, Info, Loss, Mode, Role, Tensor};

use crate::source::Source;
use crate::{Failure, files};

/// A tensor and the file it came from.
struct Operand {
    role: Role,
    file: OsString,
    source: Arc<Source>,
    /// Its pages, until it is read.
    tensor: Tensor,
}

pub struct Operands {
    info: &'static Info,
    list: Vec<Operand>,
}

/// All tensors that a loss can be given.
fn roles(info: &Info) -> impl Iterator<Item = Role> {
    let signature = info.operands.iter().map(|own| own.role);
    let optional = info.tensors.iter().map(|given| given.role);
    signature.chain(optional).chain([Role::GradOutput])
}

/// The files that the command line names, with what they hold.
pub fn named<'a>(info: &'a Info, matches: &'a ArgMatches) -> impl Iterator<Item = (Role, &'a OsString)> {
    roles(info).filter_map(|role| Some((role, matches.get_one::<OsString>(role.name())?)))
}

/// The dtype that a file of `own` is read as, where that is another. `first` is the dtype of the first tensor, `chosen`
/// that of the command line.
fn read_as(info: &Info, role: Role, own: Dtype, first: Option<Dtype>, chosen: Option<Dtype>) -> Option<Dtype> {
    let takes_integers = info.operands.iter().any(|own| own.role == role && own.integers);
    match chosen {
        // PyTorch takes these as integers, too.
        _ if takes_integers && !own.is_float() => Some(first.filter(|dtype| dtype.is_float()).unwrap_or(Dtype::F32)),
        // An upstream gradient is that of a loss in f32, which goes with inputs of any dtype.
        Some(_) if own.is_float() && role == Role::GradOutput => Some(Dtype::F32),
        Some(dtype) if own.is_float() => Some(dtype),
        _ => None,
    }
}

impl Operands {
    /// Opens all files, whose floats will be read as `dtype` where that is given.
    pub fn open(info: &'static Info, matches: &ArgMatches, dtype: Option<Dtype>) -> Result<Self, Failure> {
        let mut list: Vec<Operand> = Vec::new();
        let ignored = matches.try_get_one::<i64>("ignore_index").ok().flatten().copied();
        for (role, file) in named(info, matches) {
            let failed = |message: String| Failure::Failed(format!("{}: {message}", role.name()));
            let source = files::open(file).map_err(failed)?.sparing(ignored);
            let first = list.first().map(|own| own.tensor.dtype());
            let source = Arc::new(match read_as(info, role, source.dtype(), first, dtype) {
                Some(dtype) => source.into_dtype(dtype),
                None => source,
            });
            let pages = Tensor::from_pages(source.clone(), source.dtype(), source.shape());
            list.push(Operand {
                role,
                file: file.clone(),
                tensor: pages.map_err(|error| failed(error.to_string()))?,
                source,
            });
        }
        Ok(Self { info, list })
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.list.iter().map(|own| own.source.bytes()).sum()
    }

    /// Reads the tensors of up to so many bytes. The others have to be such as can be read window by window.
    pub fn read(&mut self, most: u64) -> Result<(), Failure> {
        for own in &mut self.list {
            let failed = |message: String| Failure::Failed(format!("{}: {message}", own.role.name()));
            if own.source.bytes() > most {
                own.source.pageable().map_err(failed)?;
            } else {
                own.tensor = own.source.read_whole().map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Reading those of up to so many bytes, or so many, reads the same ones.
    pub fn reads_alike(&self, most: u64, other: u64) -> bool {
        let mut all = self.list.iter().map(|own| own.source.bytes());
        all.all(|bytes| (bytes > most) == (bytes > other))
    }

    pub fn get(&self, role: Role) -> Option<&Tensor> {
        self.list.iter().find(|own| own.role == role).map(|own| &own.tensor)
    }

    /// The tensors of the signature.
    pub fn signature(&self) -> impl Iterator<Item = (Role, &Tensor)> {
        let roles = self.info.operands.iter().map(|own| own.role);
        roles.filter_map(|role| Some((role, self.get(role)?)))
    }

    /// Gives a loss its optional tensors.
    pub fn attach(&self, loss: &mut dyn Loss) -> Result<(), Error> {
        for given in self.info.tensors {
            if let Some(tensor) = self.get(given.role) {
                loss.attach(given.role, tensor.clone())?;
            }
        }
        Ok(())
    }

    pub fn call(&self, mode: Mode) -> Call<'_> {
        let tensors: Vec<&Tensor> = self.signature().map(|(_, tensor)| tensor).collect();
        Call {
            grad_output: self.get(Role::GradOutput),
            ..Call::new(mode, &tensors)
        }
    }

    /// Brings all tensors to where the engine computes; each one on the host is dropped at once.
    pub fn upload(&mut self, engine: &Engine) -> Result<(), Error> {
        for own in &mut self.list {
            own.tensor = engine.upload(&own.tensor)?;
        }
        Ok(())
    }

    /// The error, with the file of the tensor concerned: `target (labels.npy): expected shape …`.
    pub fn describe(&self, error: &Error) -> String {
        let mut text = error.to_string();
        let target = self.list.iter().find(|own| own.role == Role::Target);
        if let (Error::BadLabels { value, .. }, Some(target)) = (error, target)
            && let Some(behind) = target.source.label_behind(*value)
        {
            text = text.replacen(&format!("is {value} in"), &format!("is {behind} in"), 1);
        }
        if let Error::Io { source, .. } = error {
            return source.to_string(); // it names the file
        }
        let of = |own: &Operand| {
            let rest = text.strip_prefix(own.role.name())?.strip_prefix(':')?;
            Some(format!("{} ({}):{rest}", own.role.name(), own.file.to_string_lossy()))
        };
        self.list.iter().find_map(of).unwrap_or(text.clone())
    }
}
