//! A module that tells of itself: each access to storage leaves a record of where it was, and of what. A function
//! counts once for each way by which it is called, as where compilers have put it in the place of its calls.

use std::collections::HashMap;

use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{
    AddressSpace, BinaryOperator, Binding, Block, BuiltIn, EntryPoint, Expression, Function, FunctionArgument,
    GlobalVariable, Handle, Literal, Module, Range, Span, Statement, TypeInner,
};
use wgloss_shell::Failure;

/// The binding that records go to: none of ours.
pub const RECORDS: u32 = 99;

/// A place of the shader that reads or writes storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    pub binding: u32,
    pub is_written: bool,
    /// What it loads, or stores.
    pub bytes: u32,
    /// It wants no more than one element of an operand, whatever word that lies in: `NAME1` and `NAME_bits` of
    /// `shaders/access`, and atomics that change a part of a word.
    pub is_element: bool,
}

/// What stands before a shader: records of a lane lie behind their count, in the lane's part of the buffer.
pub fn prelude(width: u32, group: [u32; 2]) -> String {
    let [x, y] = group;
    format!(
        "@group(0) @binding({RECORDS}) var<storage, read_write> trace_records: array<vec2<u32>>;
var<private> trace_part: u32;
var<private> trace_first: u32;
var<private> trace_count: u32;
var<private> trace_base: u32;
var<private> trace_is_on: bool;
fn trace_open(group: vec3<u32>, lane: u32) {{
    trace_part = arrayLength(&trace_records) / {width}u;
    trace_first = lane * trace_part;
    trace_is_on = (group.x == {x}u) & (group.y == {y}u);
}}
fn trace_access(site: u32, address: u32) {{
    if (trace_is_on) {{
        trace_count += 1u;
        trace_records[trace_first].x = trace_count;
        if (trace_count < trace_part) {{
            trace_records[trace_first + trace_count] = vec2<u32>(trace_base + site, address);
        }}
    }}
}}
fn trace_move(sites: u32) {{
    trace_base += sites;
}}
"
    )
}

/// The functions of the prelude.
struct Hooks {
    open: Handle<Function>,
    access: Handle<Function>,
    step: Handle<Function>,
}

/// A module that begins with the prelude, with a record of each access; and what the sites are that records name.
pub fn traced(mut module: Module, info: &ModuleInfo) -> Result<(Module, Vec<Site>), Failure> {
    let named = |name: &str| {
        let mut all = module.functions.iter();
        let found = all.find(|(_, own)| own.name.as_deref() == Some(name));
        let missing = || Failure::Failed(format!("the traced shader has no function {name}"));
        found.map(|(handle, _)| handle).ok_or_else(missing)
    };
    let hooks = Hooks {
        open: named("trace_open")?,
        access: named("trace_access")?,
        step: named("trace_move")?,
    };
    let mut tables = HashMap::new();
    let handles: Vec<Handle<Function>> = module.functions.iter().map(|(handle, _)| handle).collect();
    for handle in handles {
        if [hooks.open, hooks.access, hooks.step].contains(&handle) {
            tables.insert(handle, Vec::new());
            continue;
        }
        let own = std::mem::take(&mut module.functions[handle]);
        let (own, sites) = Writer::new(&module, &info[handle], &hooks, &tables, own).written()?;
        module.functions[handle] = own;
        tables.insert(handle, sites);
    }
    let Some(EntryPoint { mut function, .. }) = module.entry_points.first().cloned() else {
        return Err(Failure::Failed("the traced shader has no entry point".into()));
    };
    let arguments = &module.functions[hooks.open].arguments;
    let kinds = [
        (BuiltIn::WorkGroupId, arguments[0].ty),
        (BuiltIn::LocalInvocationIndex, arguments[1].ty),
    ];
    let given = kinds.map(|(own, ty)| {
        let binding = Some(Binding::BuiltIn(own));
        let mut all = function.arguments.iter();
        let place = all.position(|own| own.binding == binding).unwrap_or_else(|| {
            let name = None;
            function.arguments.push(FunctionArgument { name, ty, binding });
            function.arguments.len() - 1
        });
        let argument = Expression::FunctionArgument(place as u32);
        function.expressions.append(argument, Span::default())
    });
    let main = info.get_entry_point(0);
    let (mut function, sites) = Writer::new(&module, main, &hooks, &tables, function).written()?;
    let mut body = Block::new();
    let call = Statement::Call {
        function: hooks.open,
        arguments: given.to_vec(),
        result: None,
    };
    body.push(call, Span::default());
    body.append(&mut function.body);
    function.body = body;
    module.entry_points[0].function = function;
    Ok((module, sites))
}

/// Rewrites a function.
struct Writer<'a> {
    module: &'a Module,
    info: &'a FunctionInfo,
    hooks: &'a Hooks,
    /// The sites of the functions before it, which are all that it calls.
    tables: &'a HashMap<Handle<Function>, Vec<Site>>,
    function: Function,
    takes_elements: bool,
    sites: Vec<Site>,
}

/// Where a pointer leads: a number of bytes, and what is known at run time alone.
struct Place {
    bytes: u32,
    runtime: Option<Handle<Expression>>,
}

impl<'a> Writer<'a> {
    fn new(
        module: &'a Module,
        info: &'a FunctionInfo,
        hooks: &'a Hooks,
        tables: &'a HashMap<Handle<Function>, Vec<Site>>,
        function: Function,
    ) -> Self {
        let name = function.name.as_deref().unwrap_or_default();
        Self {
            takes_elements: name.ends_with('1') || name.ends_with("_bits"),
            module,
            info,
            hooks,
            tables,
            function,
            sites: Vec::new(),
        }
    }

    fn written(mut self) -> Result<(Function, Vec<Site>), Failure> {
        let body = std::mem::take(&mut self.function.body);
        self.function.body = self.block(body)?;
        Ok((self.function, self.sites))
    }

    fn block(&mut self, block: Block) -> Result<Block, Failure> {
        let mut kept = Block::new();
        for (statement, span) in block.span_into_iter() {
            match statement {
                Statement::Emit(range) => {
                    kept.push(Statement::Emit(range.clone()), span);
                    for own in range {
                        if let Expression::Load { pointer } = self.function.expressions[own] {
                            self.record(&mut kept, pointer, false, false)?;
                        }
                    }
                }
                Statement::Store { pointer, value } => {
                    self.record(&mut kept, pointer, true, false)?;
                    kept.push(Statement::Store { pointer, value }, span);
                }
                Statement::Atomic { pointer, .. } => {
                    self.record(&mut kept, pointer, true, true)?;
                    kept.push(statement, span);
                }
                Statement::Call { function, .. } => {
                    let inside = self.tables.get(&function).map_or(&[][..], Vec::as_slice);
                    let first = self.sites.len() as u32;
                    self.sites.extend(inside);
                    if !inside.is_empty() {
                        self.step(&mut kept, first);
                    }
                    kept.push(statement, span);
                    if !inside.is_empty() {
                        self.step(&mut kept, first.wrapping_neg());
                    }
                }
                Statement::Block(own) => kept.push(Statement::Block(self.block(own)?), span),
                Statement::If {
                    condition,
                    accept,
                    reject,
                } => {
                    let (accept, reject) = (self.block(accept)?, self.block(reject)?);
                    let whole = Statement::If {
                        condition,
                        accept,
                        reject,
                    };
                    kept.push(whole, span);
                }
                Statement::Switch { selector, mut cases } => {
                    for case in &mut cases {
                        case.body = self.block(std::mem::take(&mut case.body))?;
                    }
                    kept.push(Statement::Switch { selector, cases }, span);
                }
                Statement::Loop {
                    body,
                    continuing,
                    break_if,
                } => {
                    let (body, continuing) = (self.block(body)?, self.block(continuing)?);
                    let whole = Statement::Loop {
                        body,
                        continuing,
                        break_if,
                    };
                    kept.push(whole, span);
                }
                other => kept.push(other, span),
            }
        }
        Ok(kept)
    }

    /// Tells in which of the sites the next ones are counted.
    fn step(&mut self, block: &mut Block, by: u32) {
        let by = self.literal(by);
        call(block, self.hooks.step, vec![by]);
    }

    /// A record of what a pointer leads to, where that is storage.
    fn record(
        &mut self,
        block: &mut Block,
        pointer: Handle<Expression>,
        is_written: bool,
        is_part: bool,
    ) -> Result<(), Failure> {
        let inner = self.info[pointer].ty.inner_with(&self.module.types);
        let is_storage = match inner {
            TypeInner::Pointer { space, .. } | TypeInner::ValuePointer { space, .. } => {
                matches!(space, AddressSpace::Storage { .. })
            }
            _ => false,
        };
        if !is_storage {
            return Ok(());
        }
        let bytes = match *inner {
            TypeInner::Pointer { base, .. } => self.module.types[base].inner.size(self.module.to_ctx()),
            TypeInner::ValuePointer { size, scalar, .. } => {
                u32::from(scalar.width) * size.map_or(1, |size| size as u32)
            }
            _ => 0,
        };
        let root = self.root(pointer)?;
        let binding = self.module.global_variables[root].binding;
        let place = self.place(block, pointer)?;
        let site = self.sites.len() as u32;
        self.sites.push(Site {
            binding: binding.map_or(0, |own| own.binding),
            is_written,
            bytes,
            is_element: is_part || self.takes_elements,
        });
        let known = self.literal(place.bytes);
        let address = match place.runtime {
            Some(runtime) => self.binary(block, BinaryOperator::Add, runtime, known),
            None => known,
        };
        let site = self.literal(site);
        call(block, self.hooks.access, vec![site, address]);
        Ok(())
    }

    /// What a pointer begins at.
    fn root(&self, pointer: Handle<Expression>) -> Result<Handle<GlobalVariable>, Failure> {
        match self.function.expressions[pointer] {
            Expression::GlobalVariable(own) => Ok(own),
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => self.root(base),
            _ => Err(self.unknown()),
        }
    }

    fn place(&mut self, block: &mut Block, pointer: Handle<Expression>) -> Result<Place, Failure> {
        let types = &self.module.types;
        match self.function.expressions[pointer] {
            Expression::AccessIndex { base, index } => {
                let bytes = match self.within(base).ok_or_else(|| self.unknown())? {
                    TypeInner::Struct { members, .. } => members[index as usize].offset,
                    other => index * stride(other).ok_or_else(|| self.unknown())?,
                };
                let of_base = self.place(block, base)?;
                Ok(Place {
                    bytes: of_base.bytes + bytes,
                    ..of_base
                })
            }
            Expression::Access { base, index } => {
                let step = self.within(base).and_then(stride).ok_or_else(|| self.unknown())?;
                if self.info[index].ty.inner_with(types).scalar() != Some(naga::Scalar::U32) {
                    return Err(self.unknown());
                }
                let of_base = self.place(block, base)?;
                let step = self.literal(step);
                let own = self.binary(block, BinaryOperator::Multiply, index, step);
                let sum = match of_base.runtime {
                    Some(other) => self.binary(block, BinaryOperator::Add, other, own),
                    None => own,
                };
                Ok(Place {
                    runtime: Some(sum),
                    ..of_base
                })
            }
            _ => Ok(Place {
                bytes: 0,
                runtime: None,
            }),
        }
    }

    /// The type of what a pointer leads to; of a vector, where only a component is reached, there is none.
    fn within(&self, pointer: Handle<Expression>) -> Option<&'a TypeInner> {
        let (info, module) = (self.info, self.module);
        match info[pointer].ty.inner_with(&module.types) {
            TypeInner::Pointer { base, .. } => Some(&module.types[*base].inner),
            _ => None,
        }
    }

    fn unknown(&self) -> Failure {
        let name = self.function.name.as_deref().unwrap_or("main");
        Failure::Failed(format!(
            "an access in {name} cannot be traced: its place is no u32 of a binding"
        ))
    }

    fn literal(&mut self, value: u32) -> Handle<Expression> {
        let literal = Expression::Literal(Literal::U32(value));
        self.function.expressions.append(literal, Span::default())
    }

    fn binary(
        &mut self,
        block: &mut Block,
        op: BinaryOperator,
        left: Handle<Expression>,
        right: Handle<Expression>,
    ) -> Handle<Expression> {
        let own = Expression::Binary { op, left, right };
        let own = self.function.expressions.append(own, Span::default());
        block.push(Statement::Emit(Range::new_from_bounds(own, own)), Span::default());
        own
    }
}

fn call(block: &mut Block, function: Handle<Function>, arguments: Vec<Handle<Expression>>) {
    let call = Statement::Call {
        function,
        arguments,
        result: None,
    };
    block.push(call, Span::default());
}

/// Bytes from one element to the next.
fn stride(inner: &TypeInner) -> Option<u32> {
    match inner {
        TypeInner::Array { stride, .. } => Some(*stride),
        TypeInner::Vector { scalar, .. } => Some(scalar.width.into()),
        _ => None,
    }
}
