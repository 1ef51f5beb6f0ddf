"""The students, their losses and their optimiser in PyTorch, as docs/method.md defines them ("Students", "Losses", "Recipe").

Written from the definitions, on transformers' BERT; it shares no code with Retort. `train_reference`, `train_speed` and
Tools/fixtures/training_step.py use it.
"""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
import transformers

VERDICTS = ("match", "mismatch", "unspecified")


@dataclass
class Recipe:
    """Defaults of `retort distill`; docs/method.md, "Recipe"."""

    rate: float = 5e-5
    head_factor: float = 100
    warmup: float = 0.1
    decay: float = 0.01
    layer_decay: float = 1.0
    betas: tuple = (0.9, 0.999)
    epsilon: float = 1e-8
    clip: float = 1.0
    weights: dict = field(default_factory=lambda: {"hard": 1.0, "score": 1.0, "reasoning": 0.3})
    temperature: float = 2.0
    slot: int = 32


@dataclass
class Targets:
    """Of a batch of B rows, K labels and A aspects; what a row lacks is -1."""

    label: torch.Tensor  # [B], place in the label set
    teacher: torch.Tensor  # [B, K], in label-set order; a row of -1 without a teacher
    verdict: torch.Tensor  # [B, A], place in VERDICTS


def certainty(teacher):
    """w = 1 − H / ln K, and 0 for a row without a teacher."""
    known = teacher[:, 0] >= 0
    p = teacher.clamp_min(0)
    entropy = -torch.xlogy(p, p).sum(-1) / math.log(teacher.shape[1])
    return torch.where(known, (1 - entropy).clamp(0, 1), torch.zeros_like(entropy))


def weighted_mean(losses, weights):
    """Σ w l / Σ w; 0, with a gradient of 0, where every weight is 0."""
    total = weights.sum()
    return (weights * losses).sum() / torch.where(total > 0, total, torch.ones_like(total))


def hard_loss(logits, label):
    losses = F.cross_entropy(logits, label.clamp_min(0), reduction="none")
    return weighted_mean(losses, (label >= 0).to(losses.dtype))


def score_loss(logits, teacher, temperature):
    p = teacher.clamp_min(0) + (teacher < 0).to(teacher.dtype) / teacher.shape[1]
    p = p.pow(1 / temperature)
    p = p / p.sum(-1, keepdim=True)
    own = torch.log_softmax(logits / temperature, -1)
    return weighted_mean(temperature ** 2 * (torch.xlogy(p, p) - p * own).sum(-1), certainty(teacher))


def reasoning_loss(losses, present, teacher):
    """`losses` and `present` [B, A]: the mean over a row's aspects, then the weighted mean over the rows that have any."""
    present = present.to(losses.dtype)
    rows = (losses * present).sum(-1) / present.sum(-1).clamp_min(1)
    return weighted_mean(rows, certainty(teacher) * (present.sum(-1) > 0))


class Interaction(transformers.BertForSequenceClassification):
    """A cross-encoder with a class head, and a three-way head an aspect on the same pooled vector."""

    def __init__(self, config):
        super().__init__(config)
        self.aspects = getattr(config, "retort_aspects", 0)
        if self.aspects:
            self.aspect_classifier = torch.nn.Linear(config.hidden_size, 3 * self.aspects)
            self.post_init()

    def forward(self, inputs):
        """Logits [B, K] and, with aspects, [B, A, 3]."""
        pooled = self.dropout(self.bert(**inputs).pooler_output)
        verdicts = self.aspect_classifier(pooled).unflatten(-1, (self.aspects, 3)) if self.aspects else None
        return {"logits": self.classifier(pooled), "verdicts": verdicts}

    def losses(self, outputs, targets, recipe):
        parts = {"hard": hard_loss(outputs["logits"], targets.label),
                 "score": score_loss(outputs["logits"], targets.teacher, recipe.temperature)}
        if outputs["verdicts"] is not None:
            losses = F.cross_entropy(outputs["verdicts"].transpose(1, 2), targets.verdict.clamp_min(0), reduction="none")
            parts["reasoning"] = reasoning_loss(losses, targets.verdict >= 0, targets.teacher)
        return parts


def ordinal_log_probabilities(cosine, ordinal):
    """ln p of K ranks, worst first: [B, K], from ordinal = [ln α, θ₀, ln(θ₁ − θ₀), …]."""
    scale, gaps = torch.exp(ordinal[0]), torch.exp(ordinal[2:])
    thresholds = torch.cumsum(torch.cat([ordinal[1:2], gaps]), 0)
    x = scale * (cosine[:, None] - thresholds)
    inner = F.logsigmoid(x[:, :-1]) + F.logsigmoid(-x[:, 1:]) + torch.log(-torch.expm1(-scale * gaps))
    return torch.cat([F.logsigmoid(-x[:, :1]), inner, F.logsigmoid(x[:, -1:])], 1)


class Representation(torch.nn.Module):
    """One encoder for query and item, an ordinal head on the cosine, and a slot an aspect."""

    def __init__(self, encoder, labels, aspects, slot, best_first=False):
        super().__init__()
        self.encoder, self.aspects, self.best_first = encoder, aspects, best_first
        width = encoder.config.hidden_size
        self.ordinal = torch.nn.Parameter(torch.tensor(
            [math.log(10), 0.5 - 0.1 * (labels - 2)] + [math.log(0.2)] * (labels - 2)))
        if aspects:
            self.aspect_query = torch.nn.Linear(width, aspects * slot, bias=False)
            self.aspect_item = torch.nn.Linear(width, aspects * slot, bias=False)
            torch.nn.init.normal_(self.aspect_query.weight, std=slot ** -0.5)
            self.aspect_item.weight.data.copy_(self.aspect_query.weight.data)
            self.aspect_scale = torch.nn.Parameter(torch.full((aspects,), 10.0))
            self.aspect_bias = torch.nn.Parameter(torch.full((aspects,), 5.0))

    def embed(self, inputs):
        hidden = self.encoder(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)

    def forward(self, query, item):
        """Log-probabilities [B, K] in label-set order, cosines [B] and, with aspects, match logits [B, A]."""
        u, v = self.embed(query), self.embed(item)
        cosine = (u * v).sum(-1)
        logits = ordinal_log_probabilities(cosine, self.ordinal)
        matches = None
        if self.aspects:
            dots = (self.aspect_query(u) * self.aspect_item(v)).unflatten(-1, (self.aspects, -1)).sum(-1)
            matches = self.aspect_scale * dots - self.aspect_bias
        return {"logits": logits.flip(-1) if self.best_first else logits, "cosine": cosine, "matches": matches}

    def losses(self, outputs, targets, recipe):
        parts = {"hard": hard_loss(outputs["logits"], targets.label),
                 "score": score_loss(outputs["logits"], targets.teacher, recipe.temperature)}
        if outputs["matches"] is not None:
            wanted = (targets.verdict == VERDICTS.index("match")).to(outputs["matches"].dtype)
            losses = F.binary_cross_entropy_with_logits(outputs["matches"], wanted, reduction="none")
            present = (targets.verdict == 0) | (targets.verdict == 1)
            parts["reasoning"] = reasoning_loss(losses, present, targets.teacher)
        return parts


def total(parts, weights):
    return sum(weights[name] * part for name, part in parts.items() if weights.get(name))


def factor(step, steps, warmup):
    """What the rate is multiplied by in step 1 … steps."""
    rising = max(1, math.floor(steps * warmup + 0.5)) if warmup > 0 else 0
    return step / rising if step <= rising else (steps - step + 1) / (steps - rising + 1)


def rate_factor(name, layers, recipe):
    if name.split(".")[-1] in ("ordinal", "aspect_scale", "aspect_bias"):
        return recipe.head_factor
    if "embeddings." in name:
        return recipe.layer_decay ** (layers + 1)
    if "encoder.layer." in name:
        return recipe.layer_decay ** (layers - int(name.split("encoder.layer.")[1].split(".")[0]))
    return 1.0


class Optimiser:
    """AdamW by groups of equal rate factor and decay, clipping, and the schedule."""

    def __init__(self, model, layers, steps, recipe, fused=False):
        groups = {}
        for name, parameter in model.named_parameters():
            key = (rate_factor(name, layers, recipe), recipe.decay if parameter.dim() == 2 else 0.0)
            groups.setdefault(key, []).append(parameter)
        self.inner = torch.optim.AdamW([{"params": p, "factor": f, "weight_decay": d} for (f, d), p in groups.items()],
                                       lr=recipe.rate, betas=recipe.betas, eps=recipe.epsilon, fused=fused)
        self.model, self.steps, self.recipe, self.taken = model, steps, recipe, 0

    def step(self):
        """Clips, steps, and clears the gradients; the norm before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.taken += 1
        for group in self.inner.param_groups:
            group["lr"] = self.recipe.rate * group["factor"] * factor(self.taken, self.steps, self.recipe.warmup)
        self.inner.step()
        self.inner.zero_grad(set_to_none=True)
        return norm
