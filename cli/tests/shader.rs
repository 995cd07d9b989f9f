//! `wgloss shader`: without an adapter, what it shows is what naga accepts, and each file begins where its mark says.

mod common;

use std::path::Path;

use common::{Folder, blind, blind_json as json, refused_blind as refused};

fn accepted(text: &str) -> Result<(), String> {
    use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
    let module = naga::front::wgsl::parse_str(text).map_err(|error| error.emit_to_string(text))?;
    let validated = Validator::new(
        ValidationFlags::all(),
        Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16_IN_FLOAT32,
    )
    .subgroup_stages(ShaderStages::COMPUTE)
    .subgroup_operations(SubgroupOperationSet::all())
    .validate(&module);
    validated.map(|_| ()).map_err(|error| error.emit_to_string(text))
}

#[test]
fn every_loss_shows_shaders_that_naga_accepts() {
    for loss in common::losses() {
        for (device, shape) in [
            ("", "4096x1000"),
            ("--class software8", "4096x12:f16"),
            ("--class integrated --limits webgpu --subgroup 1", "64x40:bf16"),
        ] {
            for mode in ["forward", "backward", "fused"] {
                let args = format!("shader {loss} --shape {shape} --mode {mode} {device}");
                let shown = json(&args);
                let all = shown["pipelines"].as_array().unwrap();
                assert!(!all.is_empty(), "{args}");
                for own in all {
                    let text = own["text"].as_str().unwrap();
                    accepted(text).unwrap_or_else(|error| panic!("{args}: {error}"));
                    assert!(text.starts_with(&format!("// {}\n", own["label"].as_str().unwrap())));
                }
            }
        }
    }
}

/// The line behind a file's mark is the file's first.
#[test]
fn marks_are_where_files_begin() {
    let shown = json("shader cross-entropy --shape 4096x1000 --pipeline 2");
    let own = &shown["pipelines"][0];
    let lines: Vec<&str> = own["text"].as_str().unwrap().lines().collect();
    let mut whole = 0;
    for segment in own["segments"].as_array().unwrap() {
        let number = |key: &str| segment[key].as_u64().unwrap() as usize;
        let (file, line, of_file) = (
            segment["file"].as_str().unwrap(),
            number("line"),
            number("line_of_file"),
        );
        let mark = format!("// {file}:{of_file}");
        assert!(lines[line - 2].starts_with(&mark), "{mark}: {}", lines[line - 2]);
        // Others are written for an operand.
        if lines[line - 2] == mark {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
            let text = std::fs::read_to_string(path).unwrap();
            assert_eq!(Some(lines[line - 1]), text.lines().nth(of_file - 1), "{mark}");
            whole += 1;
        }
    }
    assert!(whole > 10);
    assert_eq!(own["constants"]["WIDTH"], 256);
    let printed = blind("shader cross-entropy --shape 4096x1000").stdout;
    assert!(printed.contains(own["text"].as_str().unwrap().trim_end()), "{printed}");
    for told in [
        "// class discrete, subgroups of 32\n// limits native: 1024 invocations, 32 KiB of workgroup memory, bindings of 2 GiB, \
         buffers of 4 GiB, dispatches of 1 GiB, offsets of 32 bytes\n",
        "// cross_entropy (mean) fused: input [4096, 1000] f32, target [4096] i64\n",
    ] {
        assert!(printed.contains(told), "{printed}");
    }
    // The device's own conversions of f16 where it is told to have them, and only there.
    for (way, unpacks, packs) in [
        ("integer", false, false),
        ("unpack", true, false),
        ("pack", false, true),
        ("both", true, true),
    ] {
        let shown = blind(&format!("shader log-sigmoid --shape 64:f16 --f16 {way}")).stdout;
        accepted(&shown).unwrap();
        assert_eq!(
            (
                shown.contains("unpack2x16float("),
                shown.contains(" pack2x16float(") || shown.contains("(pack2x16float(")
            ),
            (unpacks, packs),
            "{way}"
        );
        let bf16 = blind(&format!("shader log-sigmoid --shape 64:bf16 --f16 {way}")).stdout;
        assert!(!bf16.contains("pack2x16float"), "{way}");
    }
    // With its heading, too.
    accepted(&blind("shader mse --shape 64x64 --pipeline 1").stdout).unwrap();
}

#[test]
fn formats_are_written_into_files_or_not_at_all() {
    let folder = Folder::new();
    for (format, extension) in [("wgsl", "wgsl"), ("spirv", "spv"), ("msl", "metal"), ("hlsl", "hlsl")] {
        let out = folder.path(format);
        for args in [
            "cross-entropy --shape 64x1000",
            "bce --shape 64x64 --class software4",
            "adam --shape 4096:f16",
        ] {
            let done = blind(&format!("shader {args} --format {format} --out {out}"));
            assert_eq!(done.code, 0, "{}", done.stderr);
            assert!(done.stdout.contains(" written to "), "{}", done.stdout);
        }
        let files: Vec<_> = std::fs::read_dir(&out)
            .unwrap()
            .map(|own| own.unwrap().path())
            .collect();
        assert!(files.len() >= 5, "{files:?}");
        for file in files {
            assert_eq!(file.extension().unwrap(), extension);
            let bytes = std::fs::read(&file).unwrap();
            match format {
                "spirv" => assert_eq!(bytes[..4], 0x0723_0203u32.to_le_bytes()),
                "msl" => assert!(String::from_utf8(bytes).unwrap().contains("kernel void main_(")),
                "hlsl" => assert!(String::from_utf8(bytes).unwrap().contains("[numthreads(")),
                _ => accepted(&String::from_utf8(bytes).unwrap()).unwrap(),
            }
        }
    }
    let (code, message) = refused("shader mse --shape 64x64 --format spirv");
    assert_eq!(code, 2);
    assert!(
        message.contains("the call has 2 pipelines, each a file of its own"),
        "{message}"
    );
    let words = json("shader mse --shape 64x64 --format spirv --pipeline 2");
    assert_eq!(words["pipelines"][0]["words"][0], 0x0723_0203);
    assert_eq!(words["pipelines"][0]["pipeline"], 2);
    let (code, message) = refused("shader mse --shape 64x64 --pipeline 3");
    assert_eq!(
        (code, message.as_str()),
        (2, "error: --pipeline 3: the call has 2 pipelines\n")
    );
    let file = folder.file("file", b"");
    let (_, message) = refused(&format!("shader mse --shape 64x64 --out {file}"));
    assert!(message.contains("is a file, expected a folder"), "{message}");
    let (_, message) = refused(&format!(
        "shader mse --shape 64x64 --out {}/none/here",
        folder.path("spirv")
    ));
    assert!(message.starts_with("error: --out "), "{message}");
}
