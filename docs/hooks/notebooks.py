"""Shows the executed notebooks of docs/examples as pages: cells and stored outputs as Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every notebook."""
    for path in sorted(_EXAMPLES.glob("*.ipynb")):
        page = File.generated(config, f"examples/{path.stem}.md", content=as_markdown(path))
        files.append(page)
    return files


def as_markdown(path: Path) -> str:
    """A notebook as Markdown; plots are part of the text."""
    cells = json.loads(path.read_text())["cells"]
    source = f"This page is the notebook `docs/examples/{path.name}` as it was executed."
    title, _, rest = _text(cells[0]["source"]).partition("\n")
    parts = [title, f"*{source}*", rest.strip()]
    for cell in cells[1:]:
        text = _text(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        parts += [_output(output) for output in cell.get("outputs", [])]
    return "\n\n".join(parts) + "\n"


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f"![A plot](data:image/png;base64,{_text(data['image/png']).strip()})"
    text = _text(output.get("text") or data["text/plain"])
    return f"```text\n{text.rstrip()}\n```"


def _text(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)
