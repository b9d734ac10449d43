"""llama.cpp's own HTTP server: prints its address, serves until standard input ends.

Arguments: the GGUF file, the name of the model, the tokens of its context. Everything else that shapes an answer is
llama.cpp's own: chat template, reading of the schema, sampling, reuse of prompts, streaming.
"""

from __future__ import annotations

import sys

import xllamacpp


def main(weights: str, name: str, context: str) -> None:
    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = weights, {name}
    params.n_parallel, params.n_ctx = 1, int(context)
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads, cpu.poll = 1, 0
    params.cache_ram_mib = 0
    params.verbosity = -1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
