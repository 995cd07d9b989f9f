//! The tensors that a command line names: read, converted, and found again in error messages.

use std::ffi::OsString;
use std::sync::Arc;

use clap::ArgMatches;
use wgloss::problem::Problem;
use wgloss::{Call, Dtype, Engine, Error, Info, Loss, Mode, OperandInfo, OperandKind, Role, Tensor};
use wgloss_shell::source::ArrayFile;
use wgloss_shell::{Failure, files, numbers};

/// A tensor and the file it came from.
struct FileTensor {
    role: Role,
    file: OsString,
    /// None of a number on the command line.
    source: Option<Arc<ArrayFile>>,
    /// Its pages, until it is read.
    tensor: Tensor,
}

/// In streams, tensors of less than this part of the memory are in memory all the time.
const SMALL: u64 = 16;

impl FileTensor {
    /// Bytes up to which it is read whole. A layer's matrix is read by every row.
    fn most(&self, memory: u64) -> u64 {
        memory / if self.role == Role::LinearWeight { 2 } else { SMALL }
    }
}

pub struct Operands {
    info: &'static Info,
    list: Vec<FileTensor>,
}

/// All tensors that a loss can be given.
fn roles(info: &Info) -> impl Iterator<Item = Role> {
    let signature = info.operands.iter().map(|own| own.role);
    let optional = info.tensors.iter().map(|given| given.role);
    let of_stats = of_stats(info).map(|(role, _)| role);
    signature.chain(optional).chain([Role::GradOutput]).chain(of_stats)
}

/// The upstream gradients of rows' statistics that a loss can be given, and what they are of.
pub fn of_stats(info: &Info) -> impl Iterator<Item = (Role, &'static str)> + use<> {
    const BOTH: &[(Role, &str)] = &[(Role::GradLse, "log-sum-exp"), (Role::GradEntropy, "entropy")];
    let own = if info.statistics { BOTH } else { &[] };
    own.iter().copied()
}

/// The files that the command line names, with what they hold.
pub fn named<'a>(info: &'a Info, matches: &'a ArgMatches) -> impl Iterator<Item = (Role, &'a OsString)> {
    roles(info).filter_map(|role| Some((role, matches.get_one::<OsString>(role.name())?)))
}

/// A tensor that may be a number on the command line instead of a file: the argument that gives it.
pub fn number_id(own: &OperandInfo) -> Option<String> {
    (own.kind == OperandKind::Variance).then(|| format!("{}=number", own.role.name()))
}

/// The dtype that a file is read as, where that is another than the nearest of the library. `chosen` is that of the
/// command line. Integers stay what they are where the library takes them as their values.
fn read_as(info: &Info, role: Role, source: &ArrayFile, chosen: Option<Dtype>) -> Result<Option<Dtype>, String> {
    let own = info.operands.iter().find(|own| own.role == role);
    let holds_classes = own.is_some_and(|own| own.kind.is_classes()) && !source.stored().is_float();
    if holds_classes && source.stored() == numbers::Dtype::Bool {
        return Err(format!(
            "{}: holds bool, expected class indices, of an integer dtype; save it as uint8, or a mask of all classes as floats",
            source.name()
        ));
    }
    Ok(match chosen {
        _ if holds_classes => None,
        // An upstream gradient is that of a loss in f32, which goes with inputs of any dtype.
        Some(_) if matches!(role, Role::GradOutput | Role::GradLse | Role::GradEntropy) => Some(Dtype::F32),
        Some(dtype) => Some(dtype),
        // i64 does not hold all of them.
        None if source.stored() == numbers::Dtype::U64 => Some(Dtype::F32),
        None => None,
    })
}

impl Operands {
    /// Opens all files, whose floats will be read as `dtype` where that is given.
    pub fn open(info: &'static Info, matches: &ArgMatches, dtype: Option<Dtype>) -> Result<Self, Failure> {
        let mut list: Vec<FileTensor> = Vec::new();
        let ignored = matches.try_get_one::<i64>("ignore_index").ok().flatten().copied();
        for (role, file) in named(info, matches) {
            let failed = |message: String| Failure::Failed(format!("{}: {message}", role.name()));
            let source = files::open(file).map_err(failed)?.sparing(ignored);
            let source = Arc::new(match read_as(info, role, &source, dtype).map_err(failed)? {
                Some(dtype) => source.into_dtype(dtype),
                None => source,
            });
            let pages = Tensor::from_pages(source.clone(), source.dtype(), source.shape());
            list.push(FileTensor {
                role,
                file: file.clone(),
                tensor: pages.map_err(|error| failed(error.to_string()))?,
                source: Some(source),
            });
        }
        for own in info.operands {
            let number = number_id(own).and_then(|id| matches.get_one::<f64>(&id).copied());
            if let Some(number) = number {
                list.push(FileTensor {
                    role: own.role,
                    file: OsString::from(format!("--{} {number}", own.role.name())),
                    source: None,
                    tensor: Tensor::try_from(number as f32)?,
                });
            }
        }
        Ok(Self { info, list })
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.list
            .iter()
            .filter_map(|own| Some(own.source.as_ref()?.bytes()))
            .sum()
    }

    /// Reads the tensors that stay in so much memory. The others have to be such as can be read window by window.
    pub fn read(&mut self, memory: u64) -> Result<(), Failure> {
        for own in &mut self.list {
            let most = own.most(memory);
            let failed = |message: String| Failure::Failed(format!("{}: {message}", own.role.name()));
            match &own.source {
                Some(source) if source.bytes() > most => source.pageable().map_err(failed)?,
                Some(source) => own.tensor = source.read_whole().map_err(failed)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Reading in so much memory, or so much, reads the same ones.
    pub fn reads_alike(&self, memory: u64, other: u64) -> bool {
        let mut all = self
            .list
            .iter()
            .filter_map(|own| Some((own, own.source.as_ref()?.bytes())));
        all.all(|(own, bytes)| (bytes > own.most(memory)) == (bytes > own.most(other)))
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
            grad_lse: self.get(Role::GradLse),
            grad_entropy: self.get(Role::GradEntropy),
            ..Call::new(mode, &tensors)
        }
    }

    /// Brings all tensors to where the engine computes, integers as the floats that the problem takes them for; each
    /// one on the host is dropped at once.
    pub fn upload(&mut self, engine: &Engine, problem: &Problem) -> Result<(), Error> {
        // The processor takes integers as they are, exactly.
        if engine.adapter_info().is_none() {
            return Ok(());
        }
        for own in &mut self.list {
            let dtype = problem.dtype_of(own.role).unwrap_or(own.tensor.dtype());
            if dtype != own.tensor.dtype() {
                own.tensor = own.tensor.to_dtype(dtype)?;
            }
            own.tensor = engine.upload(&own.tensor)?;
        }
        Ok(())
    }

    /// The error, with the file of the tensor concerned: `target (labels.npy): expected shape …`.
    pub fn describe(&self, error: &Error) -> String {
        let mut text = error.to_string();
        let target = self.list.iter().find(|own| own.role == Role::Target);
        if let (Error::BadLabels { value, .. }, Some(target)) = (error, target)
            && let Some(behind) = target.source.as_ref().and_then(|source| source.label_behind(*value))
        {
            text = text.replacen(&format!("is {value} in"), &format!("is {behind} in"), 1);
        }
        if let Error::Io { source, .. } = error {
            return source.to_string(); // it names the file
        }
        let of = |own: &FileTensor| {
            let mut rest = text.strip_prefix(own.role.name())?.strip_prefix(':')?.to_owned();
            // The dtype that stands in the file, where it was read as another.
            if let Some(source) = &own.source {
                let (read, stored) = (own.tensor.dtype(), source.stored_name());
                for word in ["got", "is"] {
                    rest = rest.replacen(&format!(" {word} {read}"), &format!(" {word} {stored}"), 1);
                }
            }
            Some(format!("{} ({}):{rest}", own.role.name(), own.file.to_string_lossy()))
        };
        self.list.iter().find_map(of).unwrap_or(text.clone())
    }
}
