"""Programs written by somebody who had not read the rules: 48 with one fault each, 48 without.

Written, and committed, before any rule saw them. `faulty_NAME.py`: the line, what is wrong there, and
the rules of which any would be right.

wine (30): softmax before cross-entropy, which takes logits
    loss/probabilities-as-logits loss/floor
diabetes_huber (37, 46): (N, 1) outputs against (N,) targets: broadcast to N x N
    loss/broadcast
lstm_head (34): the optimizer's groups leave the classifier out
    optim/missing-parameters
graph (52): the masked mean divides by the nodes of the whole batch
    model/batch-mixing model/batch-mixing-eval
vae (29): the KL term has the wrong sign: the loss falls without end
    loss/unbounded-below loss/sign loss/negative
quantile (21): minimum for maximum in the pinball loss
    loss/unbounded-below loss/sign loss/negative
charlm (50): attention is not causal: a character sees its successors
    lm/future-leak
padmask (42): the padding mask is inverted: only padding is attended to and averaged
    grad/input grad/zero grad/none fit/zero-input init/constant-output fit/overfit-1
    fit/overfit-few fit/overfit-many
folders (42): class by class, and the loader does not shuffle
    data/unshuffled data/same-order
housing_like (21): training features are standardised, validation features are not
    data/train-val-shift
segment (37): log_softmax over the batch axis
    loss/batch-softmax
multilabel (22): sigmoid before a loss that takes logits
    loss/probabilities-as-logits loss/floor
accumulate (30): eight gradients are added and not divided
    loop/accum-scale
moons_loop (39): gradients are never cleared
    loop/stale-grad
dropout_eval (43): no eval() in the evaluation: dropout and batch norm are in train mode
    eval/train-mode eval/not-repeatable eval/buffers-changed
clip (41): clipping after the step
    loop/clip-after-step
distill (41): the optimizer holds the teacher's parameters
    optim/foreign-parameters optim/missing-parameters optim/no-update
lora (18): both LoRA factors start at zero: no gradient ever
    grad/zero init/symmetric-weight init/constant-weight
residual_list (30): blocks in a Python list: not registered, never trained
    model/unregistered optim/missing-parameters
swish_function (21): the backward of swish lacks (1 - s)
    grad/check grad/not-descent
onecycle (26): the schedule is len(loader) times too long: training ends in the warm-up
    optim/schedule-horizon
oversampled (17): oversampled first, split then: copies of training rows in the validation set
    data/train-val-duplicates
metric (26): divided by batches times batch size, though the last batch is short
    eval/metric eval/mean-of-means
gan (35): the generator's own loss detaches its output
    grad/loss-detached loss/blocked-gradient grad/none
ctc (33): ctc_loss is given logits for log-probabilities
    loss/unbounded-below loss/negative loss/probabilities-as-logits loss/sign
ema_swap (41): averaged weights are loaded for evaluation and never taken out
    eval/params-changed
multitask (44): .item() cuts the second task out of the gradient
    grad/none grad/loss-detached loss/blocked-gradient
collate (25): sequences are sorted by length, their labels are not
    fit/zero-input fit/overfit-many fit/overfit-few loss/order loss/no-progress
    model/batch-mixing data/neighbour-labels
pos_weight (16): pos_weight is negatives over positives upside down
    loss/class-weights
f_dropout (26): F.dropout without training=: also on in evaluation
    eval/not-repeatable eval/train-mode
lstm_axes (23): batch_first is missing: the LSTM runs over the batch
    model/batch-mixing model/batch-mixing-eval
gpt2_shift (27): labels are shifted here and once more inside GPT2LMHeadModel
    lm/target-not-shifted
zero_init (25): every linear layer starts at one number: its units stay alike
    init/symmetric-weight init/constant-weight
relu_out (22): a ReLU after the last layer, though half of the targets are negative
    model/output-range
rate (35): Adam at a rate of 0.3 on a deep net without norms
    optim/lr-at-edge loss/no-progress loss/diverging fit/overfit-1 fit/overfit-few
    fit/overfit-many loop/nonfinite baseline/random-features fit/zero-input optim/update-ratio
decay (25): a decay meant for AdamW, which Adam adds to the gradient: it outweighs the loss
    optim/decay
scaled_twice (23): divided by 255 twice
    data/double-cast data/not-standardized
overlap (27): training and validation indices come from two different permutations
    data/train-val-duplicates data/val-is-train
eval_break (44): return inside the loop: one batch is evaluated
    eval/not-whole-set eval/metric
cleared (25): gradients are cleared between backward and step
    loop/cleared-before-step loop/no-step optim/no-update
eval_left (17): after each validation training goes on in eval mode
    loop/eval-never-left loop/train-in-eval
embed_norm (19): normalised over the batch, not over the embedding
    model/batch-mixing model/batch-mixing-eval
view (28): reshape for transpose: time and batch are scrambled
    model/batch-mixing model/batch-mixing-eval
clipped_loss (14): the loss is clamped at 2, and starts above: no gradient
    loss/blocked-gradient grad/loss-detached grad/zero loss/constant
byte_labels (19): 300 word ids cast to a byte
    data/label-wrap
batch_means (25): a mean over batches, the last of two examples
    eval/mean-of-means eval/metric
attention_axis (36): softmax over the queries: later tokens change the weights of earlier ones
    lm/future-leak
dropout (10): the keep probability is given as the drop probability: 0.95
    model/dropout
"""

RIGHT = {
    "wine": ("loss/probabilities-as-logits", "loss/floor"),
    "diabetes_huber": ("loss/broadcast",),
    "lstm_head": ("optim/missing-parameters",),
    "graph": ("model/batch-mixing", "model/batch-mixing-eval"),
    "vae": ("loss/unbounded-below", "loss/sign", "loss/negative"),
    "quantile": ("loss/unbounded-below", "loss/sign", "loss/negative"),
    "charlm": ("lm/future-leak",),
    "padmask": (
        "grad/input",
        "grad/zero",
        "grad/none",
        "fit/zero-input",
        "init/constant-output",
        "fit/overfit-1",
        "fit/overfit-few",
        "fit/overfit-many",
    ),
    "folders": ("data/unshuffled", "data/same-order"),
    "housing_like": ("data/train-val-shift",),
    "segment": ("loss/batch-softmax",),
    "multilabel": ("loss/probabilities-as-logits", "loss/floor"),
    "accumulate": ("loop/accum-scale",),
    "moons_loop": ("loop/stale-grad",),
    "dropout_eval": ("eval/train-mode", "eval/not-repeatable", "eval/buffers-changed"),
    "clip": ("loop/clip-after-step",),
    "distill": ("optim/foreign-parameters", "optim/missing-parameters", "optim/no-update"),
    "lora": ("grad/zero", "init/symmetric-weight", "init/constant-weight"),
    "residual_list": ("model/unregistered", "optim/missing-parameters"),
    "swish_function": ("grad/check", "grad/not-descent"),
    "onecycle": ("optim/schedule-horizon",),
    "oversampled": ("data/train-val-duplicates",),
    "metric": ("eval/metric", "eval/mean-of-means"),
    "gan": ("grad/loss-detached", "loss/blocked-gradient", "grad/none"),
    "ctc": ("loss/unbounded-below", "loss/negative", "loss/probabilities-as-logits", "loss/sign"),
    "ema_swap": ("eval/params-changed",),
    "multitask": ("grad/none", "grad/loss-detached", "loss/blocked-gradient"),
    "collate": (
        "fit/zero-input",
        "fit/overfit-many",
        "fit/overfit-few",
        "loss/order",
        "loss/no-progress",
        "model/batch-mixing",
        "data/neighbour-labels",
    ),
    "pos_weight": ("loss/class-weights",),
    "f_dropout": ("eval/not-repeatable", "eval/train-mode"),
    "lstm_axes": ("model/batch-mixing", "model/batch-mixing-eval"),
    "gpt2_shift": ("lm/target-not-shifted",),
    "zero_init": ("init/symmetric-weight", "init/constant-weight"),
    "relu_out": ("model/output-range",),
    "rate": (
        "optim/lr-at-edge",
        "loss/no-progress",
        "loss/diverging",
        "fit/overfit-1",
        "fit/overfit-few",
        "fit/overfit-many",
        "loop/nonfinite",
        "baseline/random-features",
        "fit/zero-input",
        "optim/update-ratio",
    ),
    "decay": ("optim/decay",),
    "scaled_twice": ("data/double-cast", "data/not-standardized"),
    "overlap": ("data/train-val-duplicates", "data/val-is-train"),
    "eval_break": ("eval/not-whole-set", "eval/metric"),
    "cleared": ("loop/cleared-before-step", "loop/no-step", "optim/no-update"),
    "eval_left": ("loop/eval-never-left", "loop/train-in-eval"),
    "embed_norm": ("model/batch-mixing", "model/batch-mixing-eval"),
    "view": ("model/batch-mixing", "model/batch-mixing-eval"),
    "clipped_loss": ("loss/blocked-gradient", "grad/loss-detached", "grad/zero", "loss/constant"),
    "byte_labels": ("data/label-wrap",),
    "batch_means": ("eval/mean-of-means", "eval/metric"),
    "attention_axis": ("lm/future-leak",),
    "dropout": ("model/dropout",),
}
