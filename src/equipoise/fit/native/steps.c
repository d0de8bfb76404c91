/* Training steps: forward pass, backward pass, penalties, clipping, optimiser, average of the weights.
 *
 * Compiled with BYTES, the width of a vector register, and VARIANT, the name of the table that this file defines. */
#include "chain.h"
#include "layers.h"
#include "losses.h"
#include "matrices.h"
#include "signs.h"

static void forward(Chain *chain, const Work *work, const int64_t *order, int64_t rows) {
    for (int64_t k = 0; k < chain->depth; k++) {
        Layer *layer = chain->layers + k;
        const int64_t in = layer->in, out = layer->out;
        for (int64_t r = 0; r < rows; r++)
            layer->input[r] = k ? layer[-1].result + r * in : work->features + order[r] * in;
        if (layer->kind == LINEAR) {
            const float *bias = layer->bias < 0 ? NULL : chain->parameters[layer->bias].value;
            affine(layer->input, chain->parameters[layer->weight].value, bias, layer->result, rows, in, out);
        } else if (layer->kind == FUNCTION && k) {
            apply(layer->function, (float)layer->value, layer->input[0], layer->result, rows * out);
        } else if (layer->kind == FUNCTION) {
            for (int64_t r = 0; r < rows; r++)
                apply(layer->function, (float)layer->value, layer->input[r], layer->result + r * out, out);
        } else if (layer->kind == DROPOUT) {
            const float scale = (float)(1 / layer->value);
            for (int64_t r = 0; r < rows; r++)
                for (int64_t i = 0; i < out; i++)
                    layer->result[r * out + i] = layer->input[r][i] * (layer->mask[r * out + i] * scale);
        } else if (layer->kind == BATCH_NORM) {
            batch_norm(layer, chain->parameters, rows, chain->unit_sums);
        } else {
            layer_norm(layer, chain->parameters, rows);
        }
    }
}

static void linear_back(Chain *chain, const Layer *layer, const float *slope, float *before, int64_t rows, int more) {
    Parameter *weight = chain->parameters + layer->weight;
    const int64_t in = layer->in, out = layer->out;
    if (weight->gradient) combine(slope, 1, out, layer->input, weight->gradient, out, rows, in, more);
    float *bias = layer->bias < 0 ? NULL : chain->parameters[layer->bias].gradient;
    if (bias) {
        if (!more) memset(bias, 0, out * sizeof *bias);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t o = 0; o < out; o++) bias[o] += slope[r * out + o];
    }
    if (!before) return;
    for (int64_t o = 0; o < out; o++) chain->lines[o] = weight->value + o * in;
    combine(slope, out, 1, chain->lines, before, rows, out, in, 0);
}

static int is_trained(const Chain *chain, const Layer *layer) {
    return (layer->weight >= 0 && chain->parameters[layer->weight].gradient) ||
           (layer->bias >= 0 && chain->parameters[layer->bias].gradient);
}

/* From the gradient of the scores, in `slope[0]`, to those of all parameters; with `more` they are added. */
static void backward(Chain *chain, int64_t rows, int more) {
    int64_t first = 0;
    while (first < chain->depth && !is_trained(chain, chain->layers + first)) first++;
    float *slope = chain->slope[0], *other = chain->slope[1];
    for (int64_t k = chain->depth - 1; k >= first; k--) {
        const Layer *layer = chain->layers + k;
        const int64_t count = rows * layer->out;
        if (layer->kind == LINEAR) {
            linear_back(chain, layer, slope, k > first ? other : NULL, rows, more);
            float *turned = slope;
            slope = other, other = turned;
        } else if (layer->kind == FUNCTION) {
            derive(layer->function, (float)layer->value, layer->input[0], layer->result, slope, count); /* k > first */
        } else if (layer->kind == DROPOUT) {
            const float scale = (float)(1 / layer->value);
            for (int64_t i = 0; i < count; i++) slope[i] *= layer->mask[i] * scale;
        } else {
            norm_back(layer, chain->parameters, slope, rows, more, k == first, chain->unit_sums);
        }
    }
}

static void penalise(Chain *chain) {
    const float l1 = (float)chain->rules.l1, l2 = (float)chain->rules.l2;
    for (int64_t k = 0; k < chain->parameter_count; k++) {
        const Parameter *one = chain->parameters + k;
        if (!one->penalised || !one->gradient) continue;
        for (int64_t i = 0; i < one->count; i++) {
            const float w = one->value[i];
            one->gradient[i] += l2 * w + l1 * (float)((w > 0) - (w < 0));
        }
    }
}

/* Overflows where single precision does, so that a gradient that torch calls infinite is infinite here. */
static float gradient_norm(const Chain *chain) {
    enum { BLOCK = 128 * LANES };
    double squares = 0;
    for (int64_t k = 0; k < chain->parameter_count; k++) {
        const Parameter *one = chain->parameters + k;
        if (!one->gradient) continue;
        for (int64_t start = 0; start < one->count; start += BLOCK) {
            const int64_t stop = start + BLOCK < one->count ? start + BLOCK : one->count;
            Floats sum = {0};
            int64_t i = start;
            for (; i + LANES <= stop; i += LANES) {
                const Floats g = load(one->gradient + i);
                sum += g * g;
            }
            float rest = total(sum);
            for (; i < stop; i++) rest += one->gradient[i] * one->gradient[i];
            squares += rest;
        }
    }
    return (float)sqrt(squares);
}

static void clip(Chain *chain, float norm) {
    const float factor = (float)chain->rules.largest_norm / (norm + 1e-6f);
    if (factor >= 1) return; /* NaN is not: it goes through */
    for (int64_t k = 0; k < chain->parameter_count; k++) {
        const Parameter *one = chain->parameters + k;
        if (one->gradient)
            for (int64_t i = 0; i < one->count; i++) one->gradient[i] *= factor;
    }
}

/* AdamW with decoupled decay (Loshchilov and Hutter, ICLR 2019), as torch's fused kernel computes it. */
static void adam(const Parameter *one, const Rules *rules, double rate, int64_t step) {
    const double risen1 = 1 - pow(rules->beta1, (double)step), risen2 = sqrt(1 - pow(rules->beta2, (double)step));
    const float size = (float)(rate / risen1), keep = (float)(1 - rate * one->decay), root = (float)(1 / risen2);
    const float fresh1 = (float)(1 - rules->beta1), fresh2 = (float)(1 - rules->beta2), beta2 = (float)rules->beta2;
    const float epsilon = (float)rules->epsilon;
    float *restrict value = one->value, *restrict first = one->first, *restrict second = one->second;
    const float *restrict gradient = one->gradient;
    for (int64_t i = 0; i < one->count; i++) {
        const float g = gradient[i];
        const float m = first[i] + fresh1 * (g - first[i]), v = beta2 * second[i] + fresh2 * g * g;
        first[i] = m, second[i] = v;
        value[i] = value[i] * keep - size * m / (sqrtf(v) * root + epsilon);
    }
}

static void descend(const Parameter *one, const Rules *rules, double rate) {
    const float step = (float)rate, decay = (float)one->decay, momentum = (float)rules->momentum;
    float *restrict value = one->value, *restrict held = one->first;
    const float *restrict gradient = one->gradient;
    if (rules->kind == DESCENT) {
        for (int64_t i = 0; i < one->count; i++) value[i] -= step * (gradient[i] + decay * value[i]);
        return;
    }
    const float ahead = rules->kind == NESTEROV ? momentum : 0, own = rules->kind == NESTEROV ? 1 : 0;
    const float carried = rules->kind == NESTEROV ? ahead : 1;
    for (int64_t i = 0; i < one->count; i++) {
        const float g = gradient[i] + decay * value[i];
        held[i] = momentum * held[i] + g;
        value[i] -= step * (own * g + carried * held[i]);
    }
}

static void average(const Chain *chain, int64_t count) {
    const Rules *rules = &chain->rules;
    double share = 1.0 / count;
    if (rules->averaging == 1) {
        const double early = (1.0 + count) / (10.0 + count);
        share = 1 - (rules->averaging_decay < early ? rules->averaging_decay : early);
    }
    const float part = (float)share;
    for (int64_t k = 0; k < chain->parameter_count; k++) {
        const Parameter *one = chain->parameters + k;
        if (!one->average) continue;
        for (int64_t i = 0; i < one->count; i++) one->average[i] += part * (one->value[i] - one->average[i]);
    }
}

/* One step with the gradients that are there; returns whether their norm was measured. */
static int step(Chain *chain, const Work *work, int64_t taken, float *norm) {
    const Rules *rules = &chain->rules;
    if (rules->l1 > 0 || rules->l2 > 0) penalise(chain);
    const int sampled = (work->step + taken) % work->sample_every == 0;
    if (sampled || rules->largest_norm > 0) *norm = gradient_norm(chain);
    if (rules->largest_norm > 0) clip(chain, *norm);
    for (int64_t k = 0; k < chain->parameter_count; k++) {
        const Parameter *one = chain->parameters + k;
        if (!one->gradient) continue;
        if (rules->kind == ADAM) adam(one, rules, work->rates[taken], work->moved + taken + 1);
        else descend(one, rules, work->rates[taken]);
    }
    if (rules->averaging && work->averaged) average(chain, work->averaged + taken + 1);
    return sampled;
}

static int64_t watched_layers(const Chain *chain) {
    int64_t count = 0;
    for (int64_t k = 0; k < chain->depth; k++) count += chain->layers[k].watched;
    return count;
}

static void train(Chain *chain, const Work *work) {
    const Layer *last = chain->layers + chain->depth - 1;
    const int64_t *order = work->order;
    int64_t taken = 0, sampled = 0, watched = 0;
    int more = 0;
    const int64_t every = work->layer_signs ? chain->watch_every : 0, places = watched_layers(chain);
    for (int64_t k = 0; k < work->batches; k++) {
        const int64_t rows = work->sizes[k];
        const int64_t at = work->step + taken;
        const int watching = every && at % every == 0;
        forward(chain, work, order, rows);
        if (watching) watch_layers(chain, rows, work->layer_signs + watched * places * SCALARS, work->units);
        const double loss =
            judge(&chain->loss, last->result, work->targets, order, chain->slope[0], rows, last->out, work->shares[k]);
        backward(chain, rows, more);
        if (work->losses) work->losses[taken] += (float)loss;
        for (int64_t l = 0; l < chain->depth; l++)
            if (chain->layers[l].kind == DROPOUT) chain->layers[l].mask += rows * chain->layers[l].out;
        order += rows;
        more = !work->finishes[k];
        if (more || work->only_gradients) continue;
        float norm = 0;
        if (watching) remember(chain);
        if (step(chain, work, taken, &norm)) work->norms[sampled++] = norm;
        if (watching || (every && (at + 1) % every == 0))
            note(chain, work->parameter_signs + watched * chain->parameter_count * SIGNS, watching);
        watched += watching;
        taken++;
    }
}

#define QUOTED(name) #name
#define NAME_OF(name) QUOTED(name)
const Steps VARIANT = {NAME_OF(VARIANT), train, remember, note};
