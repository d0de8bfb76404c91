"""The vital signs of a Hugging Face `Trainer`: one callback. Needs `pip install 'equipoise[transformers]'`."""

import tempfile

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from equipoise.vitals.adapters.huggingface import WatchCallback
from equipoise.vitals.window import Window


def show(window: Window) -> None:
    """Print what a window says of the training and of its most active layer."""
    largest = max(range(len(window.layers)), key=lambda layer: window.activation["maximum"][-1, layer])
    print(
        f"steps {window.steps[0]}-{window.steps[-1]}: loss {window.loss.mean():.3f}, "
        f"{len(window.layers)} layers, largest activation {window.activation['maximum'][-1, largest]:.2f} "
        f"in {window.layers[largest].name}"
    )


torch.manual_seed(0)
sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
model = BertForSequenceClassification(BertConfig(vocab_size=50, **sizes))  # small, from scratch: nothing is fetched
words = torch.randint(2, 50, (256, 12))
labels = (words == 7).any(1).long()  # does word 7 occur?
rows = [{"input_ids": row, "labels": label} for row, label in zip(words, labels, strict=True)]

with tempfile.TemporaryDirectory() as folder, WatchCallback(window=16, on_window=show) as watching:
    arguments = TrainingArguments(
        output_dir=folder,
        num_train_epochs=4,
        learning_rate=2e-3,
        per_device_train_batch_size=16,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[watching]).train()

for symptom in watching.vitals.symptoms():
    print(f"{symptom.verdict}: {symptom.claim}")
