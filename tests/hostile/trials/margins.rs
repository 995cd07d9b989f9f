//! Rows, pairs and triplets with margins.

use wgloss::{
    Call, CosineEmbedding, Loss, MarginRanking, Mode, MultiMargin, MultilabelMargin, Role, Tensor, TripletMargin,
};

use super::{INF, MAX, NAN, NONE, Trial, against, column, labels, tensor};

pub fn margins() -> Vec<Trial> {
    let mut list = Vec::new();
    let x = tensor(&[1.0, NAN, 0.5, 2.0, 1.0, 0.0, 0.5, 2.0], &[2, 4]);
    let multi = MultiMargin {
        reduction: NONE,
        ..Default::default()
    };
    list.push(against("multi_margin", multi, vec![x.clone(), labels(&[0, 3])]).trial());
    let multilabel = MultilabelMargin { reduction: NONE };
    let lists = Tensor::new(&[0i64, 2, -1, 0, 3, -1, 0, 0], &[2, 4]).unwrap();
    list.push(against("multilabel_margin", multilabel, vec![x, lists]).trial());
    let numbers = [MAX, -MAX, 1.0, INF, -INF, NAN];
    let pairs: Vec<[f32; 3]> = numbers
        .iter()
        .flat_map(|&x| numbers.iter().flat_map(move |&u| [1.0, -1.0].map(|t| [x, u, t])))
        .collect();
    let of = |k: usize| column(&pairs.iter().map(|own| own[k]).collect::<Vec<_>>());
    let ranking = MarginRanking {
        reduction: NONE,
        ..Default::default()
    };
    let ranking = against("margin_ranking", ranking, vec![of(0), of(1), of(2)]);
    list.push(ranking.grads(&[Role::Input2, Role::Target]).trial());
    // Pairs and triplets of rows, of which one has what is not finite.
    let good = [0.5f32, -1.0, 2.0, 0.25, 3.0];
    for (value, both) in [(INF, false), (INF, true), (NAN, false)] {
        for t in [1.0, -1.0] {
            let mut a = good.repeat(2);
            a[2] = value;
            let cosine = CosineEmbedding {
                reduction: NONE,
                ..Default::default()
            };
            let b: Vec<f32> = good.repeat(2).iter().map(|x| x * 0.5 + 0.1).collect();
            let tensors = vec![tensor(&a, &[2, 5]), tensor(&b, &[2, 5]), column(&[t, t])];
            list.push(
                against("cosine_embedding", cosine, tensors)
                    .grads(&[Role::Input2])
                    .trial(),
            );
        }
        for p in [1.5, 2.0, f64::INFINITY] {
            for place in 0..3 {
                for swap in [false, true] {
                    let triplet = TripletMargin {
                        p,
                        swap,
                        margin: 20.0,
                        reduction: NONE,
                        ..Default::default()
                    };
                    let rows = |operand: usize| {
                        let mut data: Vec<f32> = good.repeat(2);
                        let step =
                            |(i, x): (usize, &mut f32)| *x += ((i + 1) * (operand * operand + 1) % 7) as f32 * 0.3;
                        data.iter_mut().enumerate().for_each(step);
                        if operand == place || both && operand == (place + 1) % 3 {
                            data[2] = value;
                        }
                        tensor(&data, &[2, 5])
                    };
                    let trial = against("triplet_margin", triplet, (0..3).map(rows).collect());
                    list.push(trial.grads(&[Role::Positive, Role::Negative]).trial());
                }
            }
        }
    }
    // Distances beyond f32 of finite rows: NaN, where the reference has numbers.
    list.push(Trial {
        name: "triplet_margin beyond f32",
        run: Box::new(|engine| {
            let triplet = TripletMargin {
                reduction: NONE,
                ..Default::default()
            };
            let rows = [1e30, -1e30, 0.0].map(|x| tensor(&[x; 4], &[1, 4]));
            let call = Call::new(Mode::Fused, &rows.iter().collect::<Vec<_>>());
            let got = triplet.run(engine, &call).unwrap().read(engine).unwrap();
            let all = [got.loss.unwrap().data, got.grad_input.unwrap().data].concat();
            let is_right = all.iter().all(|x| x.is_nan());
            if is_right { Vec::new() } else { vec![format!("{all:?}")] }
        }),
    });
    list
}
