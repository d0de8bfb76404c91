"""Every probe before the first step, by name, in the order in which they are made."""

from equipoise.examine.probes.batch_independence import batch_independence
from equipoise.examine.probes.batch_statistics import batch_statistics
from equipoise.examine.probes.dead_at_birth import dead_at_birth
from equipoise.examine.probes.deterministic_evaluation import deterministic_evaluation
from equipoise.examine.probes.dropout_rate import dropout_rate
from equipoise.examine.probes.gradient_reach import gradient_reach
from equipoise.examine.probes.gradients_cleared import gradients_cleared
from equipoise.examine.probes.initial_loss import initial_loss
from equipoise.examine.probes.initialisation import initialisation
from equipoise.examine.probes.input_scale import input_scale
from equipoise.examine.probes.label_balance import label_balance
from equipoise.examine.probes.labels_fit_inputs import labels_fit_inputs
from equipoise.examine.probes.linear_stack import linear_stack
from equipoise.examine.probes.loss_pairing import loss_pairing
from equipoise.examine.probes.loss_shapes import loss_shapes
from equipoise.examine.probes.memorises_a_batch import memorises_a_batch
from equipoise.examine.probes.own_step import own_step
from equipoise.examine.probes.parameters_move import parameters_move
from equipoise.examine.probes.probe import Probe
from equipoise.examine.probes.row_order import row_order
from equipoise.examine.probes.saturated_at_birth import saturated_at_birth
from equipoise.examine.probes.step_descends import step_descends
from equipoise.examine.probes.target_scale import target_scale
from equipoise.examine.probes.train_eval_agree import train_eval_agree
from equipoise.examine.probes.validation_overlap import validation_overlap

PROBES: dict[str, Probe] = {
    "own-step": own_step,
    "loss-shapes": loss_shapes,
    "loss-pairing": loss_pairing,
    "initial-loss": initial_loss,
    "gradient-reach": gradient_reach,
    "parameters-move": parameters_move,
    "gradients-cleared": gradients_cleared,
    "step-descends": step_descends,
    "batch-independence": batch_independence,
    "deterministic-evaluation": deterministic_evaluation,
    "train-eval-agree": train_eval_agree,
    "linear-stack": linear_stack,
    "initialisation": initialisation,
    "dead-at-birth": dead_at_birth,
    "saturated-at-birth": saturated_at_birth,
    "dropout-rate": dropout_rate,
    "batch-statistics": batch_statistics,
    "input-scale": input_scale,
    "target-scale": target_scale,
    "label-balance": label_balance,
    "row-order": row_order,
    "validation-overlap": validation_overlap,
    "memorises-a-batch": memorises_a_batch,
    "labels-fit-inputs": labels_fit_inputs,
}
"""The probes; each takes a `Setup` and returns a `Symptom`."""
