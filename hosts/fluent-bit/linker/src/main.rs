//! Has functions of a module begin with an empty stack: linker INPUT OUTPUT FUNCTION…
//!
//! Rust keeps a stack in the module's memory, whose end is a global variable. A trap leaves it where it was; a host that calls the
//! same instance again, as Fluent Bit does, runs out of stack after some hundred traps. Its functions are called by the host alone, so
//! when one begins, nothing on the stack is needed. Rust has no way to say that.

use std::error::Error;
use std::{env, fs};

use wasm_encoder::reencode::{Reencode as _, RoundtripReencoder};
use wasm_encoder::{CodeSection, ExportKind, ExportSection, Function, FunctionSection, Module, RawSection};
use wasmparser::{Operator, Parser, Payload};

/// The global variable with the end of the stack: the linker makes it the first.
const STACK_POINTER: u32 = 0;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [input, output, functions @ ..] = &*arguments else {
        return Err("usage: linker INPUT OUTPUT FUNCTION…".into());
    };
    fs::write(output, with_empty_stack(&fs::read(input)?, functions)?)?;
    Ok(())
}

fn with_empty_stack(module: &[u8], functions: &[String]) -> Result<Vec<u8>, Box<dyn Error>> {
    let facts = Facts::of(module)?;
    let wrapped = functions.iter().map(|name| facts.wrap(name)).collect::<Result<Vec<_>, _>>()?;
    let first = u32::try_from(facts.types.len())?;
    let mut made = Module::new();
    let mut code = CodeSection::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        match payload {
            Payload::FunctionSection(section) => {
                let mut all = FunctionSection::new();
                RoundtripReencoder.parse_function_section(&mut all, section)?;
                wrapped.iter().for_each(|wrapper| {
                    all.function(wrapper.type_index);
                });
                made.section(&all);
            }
            Payload::ExportSection(section) => {
                let mut all = ExportSection::new();
                for export in section {
                    let export = export?;
                    let kind = RoundtripReencoder.export_kind(export.kind)?;
                    let at = functions.iter().position(|name| name == export.name);
                    let index = match at.filter(|_| kind == ExportKind::Func) {
                        Some(at) => first + u32::try_from(at)?,
                        None => export.index,
                    };
                    all.export(export.name, kind, index);
                }
                made.section(&all);
            }
            Payload::CodeSectionEntry(body) => {
                RoundtripReencoder.parse_function_body(&mut code, body)?;
                if code.len() == first {
                    wrapped.iter().for_each(|wrapper| {
                        code.function(&wrapper.body);
                    });
                    made.section(&code);
                }
            }
            Payload::CodeSectionStart { .. } => {}
            other => {
                if let Some((id, range)) = other.as_section() {
                    let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
                    made.section(&RawSection { id, data: module.get(range).unwrap_or_default() });
                }
            }
        }
    }
    Ok(made.finish())
}

/// What it takes to call a function of the module.
struct Facts {
    /// The type of each function.
    types: Vec<u32>,
    /// The number of parameters of each type.
    parameters: Vec<u32>,
    exports: Vec<(String, u32)>,
    stack_end: i32,
}

struct Wrapper {
    type_index: u32,
    body: Function,
}

impl Facts {
    fn of(module: &[u8]) -> Result<Self, Box<dyn Error>> {
        let mut facts = Self { types: Vec::new(), parameters: Vec::new(), exports: Vec::new(), stack_end: 0 };
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(section) => {
                    for of in section.into_iter_err_on_gc_types() {
                        facts.parameters.push(u32::try_from(of?.params().len())?);
                    }
                }
                Payload::ImportSection(_) => return Err("the module has imports".into()),
                Payload::FunctionSection(section) => facts.types = section.into_iter().collect::<Result<_, _>>()?,
                Payload::GlobalSection(section) => {
                    let stack =
                        section.into_iter().nth(STACK_POINTER as usize).ok_or("the module has no globals")??;
                    let Operator::I32Const { value } = stack.init_expr.get_operators_reader().read()? else {
                        return Err("its first global is not the end of a stack".into());
                    };
                    facts.stack_end = value;
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        facts.exports.push((export.name.to_owned(), export.index));
                    }
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    fn wrap(&self, name: &str) -> Result<Wrapper, Box<dyn Error>> {
        let missing = || format!("the module has no function {name}");
        let (_, index) = self.exports.iter().find(|(exported, _)| exported == name).ok_or_else(missing)?;
        let type_index = *self.types.get(*index as usize).ok_or_else(missing)?;
        let parameters = *self.parameters.get(type_index as usize).ok_or_else(missing)?;
        let mut body = Function::new([]);
        let mut code = body.instructions();
        code.i32_const(self.stack_end).global_set(STACK_POINTER);
        (0..parameters).for_each(|parameter| {
            code.local_get(parameter);
        });
        code.call(*index).end();
        Ok(Wrapper { type_index, body })
    }
}
