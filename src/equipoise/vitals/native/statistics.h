/* One-pass statistics of tensors: what `module.c` hands to Python. `statistics.c` is compiled once per instruction set. */
#ifndef EQUIPOISE_STATISTICS_H
#define EQUIPOISE_STATISTICS_H

#include <stdint.h>

/* What a tensor holds. */
typedef enum { FLOAT32, BFLOAT16, FLOAT16, KINDS } Kind;

/* What counts as active: all but zero; the same after max(v, 0); all strictly between `low` and `high`. */
typedef enum { PLAIN, RECTIFIED, BOUNDED, MODES } Mode;

static const int WIDTH[KINDS] = {4, 2, 2};

/* A tensor without gaps, as outer x units x inner values in the order of its memory. */
typedef struct {
    const char *values;
    Kind kind;
    int64_t outer, units, inner;
} Tensor;

typedef struct {
    Mode mode;
    float low, high; /* of BOUNDED */
    float pivot;     /* sums are taken around it; becomes the mean, for the next call */
} Measure;

/* The numbers of `plain.SCALARS` and `plain.UNIT_SUMS`, in their order. */
enum { COUNT, SUM, SQUARES, MAXIMUM, ZEROS, SATURATED, NON_FINITE, ROWS, SCALARS };
enum { UNIT_SUM, UNIT_SQUARES, UNIT_ACTIVE, UNIT_SUMS };

/* The numbers of `parameters.PARAMETER_SUMS` that one pass over a parameter and one over its gradient give. */
typedef struct {
    double squares, moved;
} WeightSums;
typedef struct {
    double squares, product, zeros, non_finite;
} GradientSums;

typedef struct {
    const char *name;
    /* Fill `scalars` and the UNIT_SUMS x units sums; returns 0, or -1 without memory. */
    int (*activation)(const Tensor *, Measure *, double *scalars, double *units);
    /* Add up `count` values; with `before`, also their distance from it, and copy them there. */
    void (*weights)(const char *values, char *before, int64_t count, Kind kind, WeightSums *to);
    /* Add up `count` values; with `before`, also their product with it, and copy them there. */
    void (*gradients)(const char *values, char *before, int64_t count, Kind kind, GradientSums *to);
    /* Whether any of `count` values is not zero. */
    int (*any)(const char *values, int64_t count, Kind kind);
} Statistics;

extern const Statistics statistics_baseline, statistics_avx2;

#endif
