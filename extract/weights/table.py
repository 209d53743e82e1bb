"""The pretrained weights vapipe knows: where they are published, and what proves a file right.

Facts only; finding, checking and fetching the files is for `files.py` and `fetch.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_TORCHVISION = "https://download.pytorch.org/models/"
_TORCHAUDIO = "https://download.pytorch.org/torchaudio/models/"
_FACENET = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/"
_VGGISH = "https://github.com/harritaylor/torchvggish/releases/download/v0.1/"
_WAVLM = "https://huggingface.co/microsoft/"

_IMAGENET = "BSD-3-Clause as torchvision; terms of the ImageNet images not stated"
_MIT_FACENET = "MIT as facenet-pytorch; not stated whether it covers the weights"
_APACHE_VGGISH = "Apache-2.0 as torchvggish; not stated whether it covers the weights"
_MIT_WAVLM = "MIT as torchaudio states; the authors' model cards link CC BY-SA 3.0"
_CC_WAVLM = "CC BY-SA 3.0 as the model card links; MIT as the authors' repository states"


@dataclass(frozen=True)
class WeightFile:
    """A file of weights that has been checked.

    Attributes:
        name: as in the table, or given by the user.
        architecture: the network it fits.
        path: where it lies.
        sha256: of the whole file; part of the key of what is extracted with it.
        nbytes: its size.
    """

    name: str
    architecture: str
    path: Path
    sha256: str
    nbytes: int


@dataclass(frozen=True)
class WeightEntry:
    """One file of weights.

    Attributes:
        name: what commands and configurations call it.
        architecture: the network it fits, a name of `networks.architectures.ARCHITECTURES`.
        file: its name in the folder of weights.
        url: its public location; None where none can be fetched from.
        sha256: the digest in lower-case hex, or the prefix of it that the publisher put into the
            file name; None where none is public, so that the first use records it.
        nbytes: its size, for messages and progress; the digest decides.
        licence: as documented by the source, in a few words.
        source: who published it, trained on what.
    """

    name: str
    architecture: str
    file: str
    url: str | None
    sha256: str | None
    nbytes: int | None
    licence: str
    source: str


def _wavlm_hub(name: str, revision: str, sha256: str | None, nbytes: int | None) -> WeightEntry:
    """The file of `microsoft/NAME` on the Hugging Face Hub at one revision."""
    return WeightEntry(
        name=f"{name}-hub",
        architecture="wavlm-large" if name == "wavlm-large" else "wavlm-base",
        file=f"microsoft-{name}-pytorch_model.bin",
        url=f"{_WAVLM}{name}/resolve/{revision}/pytorch_model.bin",
        sha256=sha256,
        nbytes=nbytes,
        licence=_CC_WAVLM,
        source=f"Hugging Face microsoft/{name} (Chen et al. 2022)",
    )


def _ir50_elsewhere(name: str, source: str) -> WeightEntry:
    """A published file without a location that can be fetched from, nor a digest."""
    return WeightEntry(
        name=name,
        architecture="ir50",
        file=f"{name}.weights",
        url=None,
        sha256=None,
        nbytes=None,
        licence="not known here; see the project that publishes it",
        source=source,
    )


_ENTRIES = (
    WeightEntry(
        name="resnet50-imagenet-v2",
        architecture="resnet50",
        file="resnet50-11ad3fa6.pth",
        url=_TORCHVISION + "resnet50-11ad3fa6.pth",
        sha256="11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca",
        nbytes=102_540_417,
        licence=_IMAGENET,
        source="torchvision ResNet50_Weights.IMAGENET1K_V2",
    ),
    WeightEntry(
        name="resnet50-imagenet-v1",
        architecture="resnet50",
        file="resnet50-0676ba61.pth",
        url=_TORCHVISION + "resnet50-0676ba61.pth",
        sha256="0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
        nbytes=102_530_333,
        licence=_IMAGENET,
        source="torchvision ResNet50_Weights.IMAGENET1K_V1",
    ),
    WeightEntry(
        name="facenet-vggface2",
        architecture="facenet",
        file="20180402-114759-vggface2.pt",
        url=_FACENET + "20180402-114759-vggface2.pt",
        sha256="281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
        nbytes=111_898_327,
        licence=_MIT_FACENET,
        source="facenet-pytorch InceptionResnetV1, VGGFace2",
    ),
    WeightEntry(
        name="facenet-casia-webface",
        architecture="facenet",
        file="20180408-102900-casia-webface.pt",
        url=_FACENET + "20180408-102900-casia-webface.pt",
        sha256=None,
        nbytes=None,
        licence=_MIT_FACENET,
        source="facenet-pytorch InceptionResnetV1, CASIA-WebFace",
    ),
    WeightEntry(
        name="vggish",
        architecture="vggish",
        file="vggish-10086976.pth",
        url=_VGGISH + "vggish-10086976.pth",
        sha256="10086976245803799d9194e9a73d9b6c1549c71d1b80106f5cade5608a561f4b",
        nbytes=288_567_937,
        licence=_APACHE_VGGISH,
        source="torchvggish, ported from AudioSet VGGish (Hershey et al. 2017)",
    ),
    WeightEntry(
        name="vggish-pca",
        architecture="vggish-pca",
        file="vggish_pca_params-970ea276.pth",
        url=_VGGISH + "vggish_pca_params-970ea276.pth",
        sha256="970ea276",
        nbytes=181_358,
        licence=_APACHE_VGGISH,
        source="torchvggish, AudioSet's PCA and whitening",
    ),
    WeightEntry(
        name="wavlm-base",
        architecture="wavlm-base",
        file="wavlm_base.pth",
        url=_TORCHAUDIO + "wavlm_base.pth",
        sha256=None,
        nbytes=None,
        licence=_MIT_WAVLM,
        source="torchaudio WAVLM_BASE (Chen et al. 2022)",
    ),
    WeightEntry(
        name="wavlm-base-plus",
        architecture="wavlm-base",
        file="wavlm_base_plus.pth",
        url=_TORCHAUDIO + "wavlm_base_plus.pth",
        sha256="136a3e720c04f2c77bf7a4dc6a3868b14d5a2c145a988114b733cb1a8428be98",
        nbytes=377_604_347,
        licence=_MIT_WAVLM,
        source="torchaudio WAVLM_BASE_PLUS (Chen et al. 2022)",
    ),
    WeightEntry(
        name="wavlm-large",
        architecture="wavlm-large",
        file="wavlm_large.pth",
        url=_TORCHAUDIO + "wavlm_large.pth",
        sha256=None,
        nbytes=None,
        licence=_MIT_WAVLM,
        source="torchaudio WAVLM_LARGE (Chen et al. 2022)",
    ),
    _wavlm_hub("wavlm-base", "efa81aae7ff777e464159e0f877d54eac5b84f81", None, None),
    _wavlm_hub(
        "wavlm-base-plus",
        "4c66d4806a428f2e922ccfa1a962776e232d487b",
        "3bb273a6ace99408b50cfc81afdbb7ef2de02da2eab0234e18db608ce692fe51",
        377_617_425,
    ),
    _wavlm_hub(
        "wavlm-large",
        "c1423ed94bb01d80a3f5ce5bc39f6026a0f4828c",
        "fdee460e529396ddb2f8c8e8ce0ad74cfb747b726bc6f612e666c7c1e1963c9d",
        1_261_990_257,
    ),
    WeightEntry(
        name="ir50",
        architecture="ir50",
        file="ir50.weights",
        url=None,
        sha256=None,
        nbytes=None,
        licence="unknown; the terms under which you got the file",
        source="your own IR-50 checkpoint (MS-Celeb-1M, FER+)",
    ),
    _ir50_elsewhere("ir50-ms1m", "face.evoLVe's IR-50 backbone, MS-Celeb-1M; from its publishers"),
    _ir50_elsewhere("ir50-abaw3", "res50_ir_0.887, published for ABAW3; from its publishers"),
)

WEIGHT_TABLE = {entry.name: entry for entry in _ENTRIES}
