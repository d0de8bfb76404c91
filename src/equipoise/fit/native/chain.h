/* A feed-forward network as a chain of layers, and the training steps that are taken on it. `steps.c` is compiled once
 * per instruction set; `module.c` hands it to Python. All memory but the scratch of a chain belongs to torch. */
#ifndef EQUIPOISE_CHAIN_H
#define EQUIPOISE_CHAIN_H

#include "../../vitals/native/statistics.h"

/* The numbers of `lanes/layout.py`, in its order. */
typedef enum { LINEAR, FUNCTION, DROPOUT, BATCH_NORM, LAYER_NORM, LAYER_KINDS } LayerKind;
typedef enum { RELU, LEAKY_RELU, GELU, SILU, TANH, SIGMOID, ELU, SELU, FUNCTIONS } Function;
typedef enum { CROSS_ENTROPY, BINARY, SQUARED, ABSOLUTE, HUBER, LOSSES } LossKind;
typedef enum { DESCENT, HEAVY_BALL, NESTEROV, ADAM, OPTIMISERS } OptimiserKind;

typedef struct {
    int kind, function;
    int64_t in, out;
    double value;         /* slope or alpha of a function, share kept by dropout, epsilon of a norm */
    double momentum;      /* of running statistics */
    int64_t weight, bias; /* numbers of parameters, -1 without */
    float *result;        /* rows x out: what the layer says */
    float *mean, *variance;
    int64_t *counted; /* running statistics of a batch norm */
    const float **input;  /* one pointer a row: what the layer is given */
    float *normal;        /* rows x out: normalised values, of a norm */
    float *inverse;       /* 1 / deviation, a unit (batch norm) or a row (layer norm) */
    const float *mask;    /* dropout of the present batch: zeros and ones */
    int watched;          /* whether vital signs are measured, and what counts as active */
    Measure measure;
} Layer;

typedef struct {
    float *value, *gradient; /* gradient NULL: not trained */
    float *first, *second;   /* momentum, or the moments of Adam */
    float *average;          /* running average of the weights, or NULL */
    int64_t count;
    double decay;
    int penalised; /* L1 and L2 fall on it */
    char *before, *gradient_before; /* as they were before the step, for vital signs; or NULL */
    double squares_before, gradient_squares_before;
} Parameter;

typedef struct {
    int kind;
    double smoothing, delta;
    const float *weights; /* of classes; for BINARY (2, labels): absent, present; or NULL */
    int64_t weight_columns;
    int indexed; /* targets are int64 class numbers */
} Loss;

typedef struct {
    int kind;
    double momentum, beta1, beta2, epsilon; /* momentum and betas of the optimiser */
    double l1, l2, largest_norm;            /* largest_norm 0: no clipping */
    int averaging;                          /* 0 none, 1 exponential, 2 tail */
    double averaging_decay;
} Rules;

typedef struct {
    const float *features;
    const void *targets;
    const int64_t *order;    /* rows of the samples, batch after batch */
    const int64_t *sizes;    /* of each batch */
    const double *shares;    /* of each batch in its step */
    const uint8_t *finishes; /* whether a step follows */
    const double *rates;     /* of each step */
    float *losses;           /* a place for each step, added to */
    float *norms;            /* a place for each sampled step */
    int64_t batches;
    int64_t step;         /* steps taken before, over the whole training */
    int64_t moved;        /* steps that the optimiser has counted before */
    int64_t averaged;     /* weights averaged before */
    int64_t sample_every;
    int only_gradients;   /* leave them there and take no step */
    double *layer_signs;     /* of each watched step, each watched layer: SCALARS numbers; or NULL */
    double *parameter_signs; /* of each watched step, each parameter: SIGNS numbers */
    double *units;           /* of each watched layer: how often each unit was active; added to */
} Work;

typedef struct {
    Layer *layers;
    int64_t depth;
    Parameter *parameters;
    int64_t parameter_count;
    int64_t largest_batch, widest;
    float *slope[2]; /* gradients of what the layers say, one layer after the other */
    const float **lines;
    Loss loss;
    Rules rules;
    const Statistics *statistics;
    int64_t watch_every;  /* steps between two whose vital signs are measured; 0 for none */
    double *unit_sums;    /* UNIT_SUMS x widest */
} Chain;

/* The numbers of `vitals.parameters.PARAMETER_SUMS`. */
enum { WEIGHT, BEFORE, MOVED, GRADIENT, GRADIENT_ZEROS, GRADIENT_NON_FINITE, PRODUCT, NOW, PREVIOUS, SIGNS };

typedef struct {
    const char *name;
    void (*train)(Chain *, const Work *);
    void (*remember)(Chain *);                          /* the weights, before a step */
    void (*note)(Chain *, double *signs, int measured); /* weights and gradients after a step; `signs` of one row */
} Steps;

extern const Steps steps_baseline;
#if defined(EQUIPOISE_AVX2)
extern const Steps steps_avx2;
#endif

#endif
