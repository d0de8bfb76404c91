/* Vital signs of layers and parameters, read from the memory of the chain where they lie in the cache. */
#ifndef EQUIPOISE_SIGNS_H
#define EQUIPOISE_SIGNS_H

#include "chain.h"

#include <math.h>
#include <string.h>

/* Add what the layers just said to one row. */
static void watch_layers(Chain *chain, int64_t rows, double *row, double *fired) {
    for (int64_t k = 0; k < chain->depth; k++) {
        Layer *layer = chain->layers + k;
        if (!layer->watched) continue;
        const Tensor said = {(const char *)layer->result, FLOAT32, rows, layer->out, 1};
        double scalars[SCALARS];
        if (!chain->statistics->activation(&said, &layer->measure, scalars, chain->unit_sums)) {
            const double largest = row[MAXIMUM] > scalars[MAXIMUM] ? row[MAXIMUM] : scalars[MAXIMUM];
            for (int s = 0; s < SCALARS; s++) row[s] += scalars[s];
            row[MAXIMUM] = largest;
            for (int64_t u = 0; u < layer->out; u++) fired[u] += chain->unit_sums[UNIT_ACTIVE * layer->out + u];
        }
        row += SCALARS, fired += layer->out;
    }
}

static void remember(Chain *chain) {
    for (int64_t k = 0; k < chain->parameter_count; k++) {
        Parameter *one = chain->parameters + k;
        WeightSums sums = {0};
        chain->statistics->weights((const char *)one->value, one->before, one->count, FLOAT32, &sums);
        one->squares_before = sums.squares;
    }
}

/* Measures a step that was taken; without `measured` only its gradients are remembered, for the next one. */
static void note(Chain *chain, double *signs, int measured) {
    for (int64_t k = 0; k < chain->parameter_count; k++, signs += measured ? SIGNS : 0) {
        Parameter *one = chain->parameters + k;
        WeightSums weights = {0};
        if (measured) {
            chain->statistics->weights((const char *)one->value, one->before, one->count, FLOAT32, &weights);
            signs[WEIGHT] = weights.squares, signs[BEFORE] = one->squares_before, signs[MOVED] = weights.moved;
        }
        if (!one->gradient) continue; /* the rest stays NaN */
        GradientSums now = {0};
        chain->statistics->gradients((const char *)one->gradient, one->gradient_before, one->count, FLOAT32, &now);
        if (measured) {
            signs[GRADIENT] = signs[NOW] = now.squares, signs[GRADIENT_ZEROS] = now.zeros;
            signs[GRADIENT_NON_FINITE] = now.non_finite, signs[PREVIOUS] = one->gradient_squares_before;
            signs[PRODUCT] = isnan(one->gradient_squares_before) ? one->gradient_squares_before : now.product;
        }
        one->gradient_squares_before = now.squares;
    }
}

#endif
