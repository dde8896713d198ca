"""The values of settings that are chosen from a list."""

from __future__ import annotations

from typing import Literal

ClassesChoice = Literal["all", "base"]
Validation = Literal["few", "all", "train"]
ContextInit = Literal["template", "words", "random"]
NamePosition = Literal["end", "middle", "front"]
TextScale = Literal["one", "logit"]
TextClasses = Literal["seen", "all"]
TextTarget = Literal["prototype", "templates"]
TextTemplates = Literal["own", "fixed"]
TextSoftmax = Literal["hard", "soft"]
GateTarget = Literal["hard", "scaled", "soft"]
Augment = Literal["none", "crops"]
Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["cosine", "constant"]
ScheduleBy = Literal["epoch", "step"]
Warmup = Literal["constant", "linear"]
WarmupGroups = Literal["scaled", "same"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Search = Literal["own", "published"]
Insertion = Literal["replace", "keys"]
LengthImages = Literal["validation", "train"]
RouterInput = Literal["tuned", "frozen"]
NumExperts = Literal["groups", "auto"]
ConsistencyTemplates = Literal["own", "imagenet"]
ConsistencyMean = Literal["raw", "unit"]
Aggregation = Literal["none", "gaussian"]
