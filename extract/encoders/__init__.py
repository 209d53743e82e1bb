"""Encoders: what turns crops or sound into embeddings, by name."""

from . import (
    egemaps,
    facenet,
    hf_speech,
    ir50,
    logmel,
    mfcc,
    onet,
    resnet50,
    timm_network,
    vad,
    vggish,
    wavlm,
)
from .base import AudioEncoder, Encoder, EncoderOptions, VisualEncoder
from .registry import (
    create_encoder,
    encoder_options,
    list_encoders,
    list_families,
    register_encoder,
    register_family,
    summarise_encoder,
)

__all__ = [
    "AudioEncoder",
    "Encoder",
    "EncoderOptions",
    "VisualEncoder",
    "create_encoder",
    "egemaps",
    "encoder_options",
    "facenet",
    "hf_speech",
    "ir50",
    "list_encoders",
    "list_families",
    "logmel",
    "mfcc",
    "onet",
    "register_encoder",
    "register_family",
    "resnet50",
    "summarise_encoder",
    "timm_network",
    "vad",
    "vggish",
    "wavlm",
]
