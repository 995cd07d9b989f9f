//! Arrays of the crate `ndarray`: views in, arrays out (feature `ndarray`).

use ndarray::{Array, Array1, Array2, ArrayD, ArrayView0, ArrayView2, Axis, Ix2, arr0, arr2, s};
use wgloss::functional::{bce, cross_entropy, mse, reduce};
use wgloss::{Argument, Bce, CrossEntropy, Dtype, Engine, Loss, Mode, Mse, Reduce, Reduction, Tensor, Values};

use crate::common::gpu;

fn engines() -> [&'static Engine; 2] {
    static CPU: std::sync::OnceLock<Engine> = std::sync::OnceLock::new();
    [CPU.get_or_init(Engine::cpu), gpu()]
}

fn logits() -> Array2<f32> {
    Array::from_shape_fn((4, 6), |(row, col)| ((row * 7 + col * 5) % 11) as f32 * 0.3 - 1.0)
}

/// What a slice of the same numbers gives.
fn of_slices(engine: &Engine, x: &[f32], t: &[i64]) -> Values {
    let options = CrossEntropy::default();
    cross_entropy(engine, (x, [4, 6]), (t, [4]), &options, Mode::Fused).unwrap()
}

/// By view, by reference, by value and out of order, the numbers are those of the array.
#[test]
fn the_functional_forms_take_arrays_however_they_lie() {
    let x = logits();
    let t = Array1::from(vec![1i64, 5, 0, 2]);
    let mut padded = Array2::<f32>::zeros((8, 9));
    padded.slice_mut(s![..;2, 1..7]).assign(&x);
    let columns = x.t().as_standard_layout().into_owned(); // (6, 4) in memory
    let backwards = x.slice(s![..;-1, ..]).as_standard_layout().into_owned();
    let options = CrossEntropy::default();
    for engine in engines() {
        let want = of_slices(engine, x.as_slice().unwrap(), t.as_slice().unwrap());
        let of = |values: wgloss::Result<Values>| assert_eq!(values.unwrap(), want, "{}", engine.name());
        of(cross_entropy(engine, x.view(), t.view(), &options, Mode::Fused));
        of(cross_entropy(engine, &x, &t, &options, Mode::Fused));
        of(cross_entropy(engine, x.clone(), t.clone(), &options, Mode::Fused));
        of(cross_entropy(
            engine,
            &x.to_shared(),
            t.view().into_dyn(),
            &options,
            Mode::Fused,
        ));
        of(cross_entropy(
            engine,
            padded.slice(s![..;2, 1..7]),
            &t,
            &options,
            Mode::Fused,
        ));
        of(cross_entropy(engine, columns.t(), &t, &options, Mode::Fused));
        of(cross_entropy(
            engine,
            columns.clone().reversed_axes(),
            &t,
            &options,
            Mode::Fused,
        ));
        of(cross_entropy(
            engine,
            backwards.slice(s![..;-1, ..]),
            &t,
            &options,
            Mode::Fused,
        ));
        // A part of an array that is in order, from its second row on, by view and by value.
        let wider = ndarray::concatenate![Axis(0), x.slice(s![..1, ..]), x];
        of(cross_entropy(
            engine,
            wider.slice(s![1.., ..]),
            &t,
            &options,
            Mode::Fused,
        ));
        of(cross_entropy(
            engine,
            wider.clone().slice_move(s![1.., ..]),
            &t,
            &options,
            Mode::Fused,
        ));
        // Arrays beside slices and tensors.
        let (slice, tensor) = (t.as_slice().unwrap(), Tensor::try_from(&x).unwrap());
        of(cross_entropy(engine, &x, (slice, [4]), &options, Mode::Fused));
        of(cross_entropy(
            engine,
            &engine.upload(&tensor).unwrap(),
            &t,
            &options,
            Mode::Fused,
        ));
    }
}

/// Every dtype that a tensor may have, and truth values, as numbers and as classes.
#[test]
fn arrays_of_every_dtype_are_taken() {
    let whole = arr2(&[[1u8, 0, 3], [2, 2, 0]]);
    let sum = |engine: &Engine, array: &dyn Fn() -> wgloss::Result<Values>| {
        assert_eq!(array().unwrap().scalar(), Some(8.0), "{}", engine.name());
    };
    let options = Reduce::default();
    for engine in engines() {
        let of = Mode::Forward;
        sum(engine, &|| reduce(engine, whole.mapv(f32::from).view(), &options, of));
        sum(engine, &|| {
            reduce(
                engine,
                whole.mapv(|x| half::f16::from_f32(x.into())).view(),
                &options,
                of,
            )
        });
        sum(engine, &|| {
            reduce(
                engine,
                whole.mapv(|x| half::bf16::from_f32(x.into())).view(),
                &options,
                of,
            )
        });
        sum(engine, &|| reduce(engine, whole.view(), &options, of));
        sum(engine, &|| reduce(engine, whole.mapv(i32::from).view(), &options, of));
        sum(engine, &|| reduce(engine, whole.mapv(u32::from).view(), &options, of));
        sum(engine, &|| reduce(engine, whole.mapv(i64::from), &options, of));
        let truth = arr2(&[[true, false], [true, true]]);
        let count = reduce(engine, &truth, &options, of).unwrap();
        assert_eq!(count.scalar(), Some(3.0));
        // Truth values as targets, and as slices.
        let p = arr2(&[[0.5f32, 0.25], [0.75, 0.5]]);
        let (numbers, flat) = (truth.mapv(|is| f32::from(u8::from(is))), [true, false, true, true]);
        let want = bce(engine, &p, &numbers, &Bce::default(), Mode::Fused).unwrap();
        assert_eq!(
            bce(engine, &p, truth.view(), &Bce::default(), Mode::Fused).unwrap(),
            want
        );
        assert_eq!(
            bce(engine, &p, (&flat[..], [2, 2]), &Bce::default(), Mode::Fused).unwrap(),
            want
        );
        let labels = [1u8, 2].map(i32::from);
        let labels = ndarray::aview1(&labels);
        let x = whole.mapv(f32::from);
        assert!(
            cross_entropy(engine, &x, labels, &CrossEntropy::default(), of)
                .unwrap()
                .scalar()
                .is_some()
        );
        // A number is an array of no dimensions.
        let zero = arr0(0.0f32);
        let square = mse(engine, arr0(3.0f32), zero.view(), &Mse::default(), Mode::Fused).unwrap();
        assert_eq!(square.scalar(), Some(9.0));
        let number: ArrayView0<'_, f32> = zero.view();
        assert_eq!(
            mse(engine, 3.0, number, &Mse::default(), of).unwrap().scalar(),
            Some(9.0)
        );
    }
}

/// Results are arrays in the memory that they were read into.
#[test]
fn results_become_arrays() {
    for engine in engines() {
        let loss = Mse {
            reduction: Reduction::None,
        };
        let (x, t) = (logits(), Array2::<f32>::zeros((4, 6)));
        let values = mse(engine, &x, &t, &loss, Mode::Fused).unwrap();
        let losses = values.loss.unwrap();
        let place = losses.data.as_ptr();
        let losses = losses.into_ndarray().unwrap().into_dimensionality::<Ix2>().unwrap();
        assert_eq!((losses.as_ptr(), losses.dim()), (place, (4, 6)));
        assert_eq!(losses, x.mapv(|x| x * x));
        let grad: ArrayD<f32> = values.grad_input.unwrap().try_into().unwrap();
        assert_eq!(grad, x.mapv(|x| 2.0 * x).into_dyn());
        let mean = mse(engine, &x, &t, &Mse::default(), Mode::Forward)
            .unwrap()
            .loss
            .unwrap();
        assert_eq!(mean.into_ndarray().unwrap().ndim(), 0);
    }
    let wrong = wgloss::Array {
        shape: vec![2, 2],
        data: vec![0f32; 3],
        dtype: Dtype::F32,
    };
    assert_eq!(
        wrong.into_ndarray().unwrap_err().to_string(),
        "shape: [2, 2] does not hold 3 elements"
    );
}

/// An owned array becomes a tensor in place, and a view goes to the device as it is.
#[test]
fn arrays_become_tensors() {
    let x = logits();
    let (place, numbers) = (x.as_ptr(), x.clone().into_raw_vec_and_offset().0);
    let tensor = Tensor::try_from(x).unwrap();
    assert_eq!(
        (tensor.as_slice::<f32>().unwrap().as_ptr(), tensor.shape()),
        (place, &[4, 6][..])
    );
    let x = logits();
    for (tensor, shape) in [
        (Tensor::try_from(x.view()).unwrap(), [4, 6]),
        (Tensor::try_from(&x.t()).unwrap(), [6, 4]),
        (Tensor::try_from(x.clone().reversed_axes()).unwrap(), [6, 4]),
        (engines()[0].upload_from(&x).unwrap(), [4, 6]),
        (engines()[1].upload_from(x.t()).unwrap(), [6, 4]),
        (engines()[1].upload_from(x.view()).unwrap(), [4, 6]),
    ] {
        let read = tensor.read::<f32>(gpu()).unwrap();
        let want = if shape[0] == 4 {
            x.clone()
        } else {
            x.t().as_standard_layout().into_owned()
        };
        assert_eq!(
            (tensor.shape(), read.as_slice()),
            (&shape[..], want.as_slice().unwrap())
        );
    }
    assert_eq!(numbers.len(), 24);
    let device = engines()[1].upload_from(x.view()).unwrap();
    let loss = Reduce::default()
        .forward(engines()[1], &[&device])
        .unwrap()
        .read(engines()[1])
        .unwrap();
    assert!((loss.scalar().unwrap() - x.sum()).abs() < 1e-4);
}

/// What is wrong is told by the argument's name, before anything is computed.
#[test]
fn errors_name_the_argument() {
    let x: ArrayView2<'_, f32> = ArrayView2::from_shape((2, 3), &[0.0; 6]).unwrap();
    let t = Array1::from(vec![0i64; 3]);
    for engine in engines() {
        let options = CrossEntropy::default();
        let of = |result: wgloss::Result<Values>| result.unwrap_err().to_string();
        let text = of(cross_entropy(engine, x, &t, &options, Mode::Forward));
        assert!(text.starts_with("target: "), "{text}");
        let floats = t.mapv(|t| t as f32);
        let text = of(cross_entropy(engine, x, &floats, &options, Mode::Forward));
        assert!(text.starts_with("target: "), "{text}");
        let short = [0i64; 2];
        let text = of(cross_entropy(engine, x, (&short[..], [3]), &options, Mode::Forward));
        assert_eq!(text, "target: shape [3] holds 3 elements, the data has 2");
        let (whole, labels) = (x.mapv(|x| x as i32), Array1::from(vec![0i64; 2]));
        let text = of(cross_entropy(engine, whole, &labels, &options, Mode::Backward));
        assert!(text.starts_with("input: "), "{text}");
    }
    assert!((&x).lend("x").is_ok());
}
