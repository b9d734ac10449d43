"""instructor on the records of a file, run by its own interpreter: `python -m benchmarks.trust.with_instructor …`.

Arguments: base URL, name of the data set, file of the records, file of the answers (JSON lines). Records that have an
answer there are not asked again.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.trust.schemas import MAX_TOKENS, MODELS, PROMPTS

RETRIES = 2  # beside the first answer
PATIENCE = 3600  # seconds for one answer of a small model on a busy machine


def answered(client: Any, name: str, text: str) -> dict[str, Any]:
    """The record that instructor makes of a text, or why it makes none; and the tokens of all its requests."""
    used = {"input": 0, "output": 0, "requests": 0}

    def count(response: Any) -> None:
        used["requests"] += 1
        used["input"] += response.usage.prompt_tokens if response.usage else 0
        used["output"] += response.usage.completion_tokens if response.usage else 0

    client.on("completion:response", count)
    try:
        found = client.chat.completions.create(
            model="SmolLM2-135M-Instruct",
            response_model=MODELS[name],
            max_retries=RETRIES,
            max_tokens=MAX_TOKENS[name],
            temperature=0,
            messages=[{"role": "system", "content": PROMPTS[name]}, {"role": "user", "content": text}],
        )
        return {"row": found.model_dump(mode="json"), "tokens": used}
    except Exception as error:  # whatever it raises, this record has no row
        return {"failed": f"{type(error).__name__}: {error}"[:300], "tokens": used}
    finally:
        client.off("completion:response", count)


def _whole_lines(out: Path) -> set[str]:
    """What is answered already; a line that was cut off by the end of a process is taken out."""
    lines = out.read_text("utf-8").splitlines(keepends=True) if out.exists() else []
    if lines and not lines[-1].endswith("\n"):
        out.write_text("".join(lines[:-1]), "utf-8")
    return {json.loads(line)["id"] for line in lines if line.endswith("\n")}


def main() -> None:
    """Ask for what has no answer yet."""
    base_url, name, source, target = sys.argv[1:]
    instructor, openai = import_module("instructor"), import_module("openai")
    inner = openai.OpenAI(base_url=base_url, api_key="none", timeout=PATIENCE, max_retries=0)
    client = instructor.from_openai(inner, mode=instructor.Mode.JSON_SCHEMA)
    out = Path(target)
    known = _whole_lines(out)
    with out.open("a", encoding="utf-8") as file:
        for line in Path(source).read_text("utf-8").splitlines():
            record = json.loads(line)
            if record["id"] not in known:
                found = answered(client, name, record["text"])
                file.write(json.dumps({"id": record["id"], **found}, ensure_ascii=False) + "\n")
                file.flush()


if __name__ == "__main__":
    main()
