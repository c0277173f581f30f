"""What the symmetries of sliced models and of adapters are worth, and what using them takes.

    python tests/bench/bench_symmetry.py [shapes] [compressors] [small] [adapters] [orders] [--adapters FOLDER]

`shapes`: one slot at a time of models too large for memory, beside the paper (J. He et al., arXiv 2410.01309, the
tables of the authors' slides): what is saved, and how long a turn takes. `compressors`: files after general-purpose
compressors, as in the authors' rebuttal. `small`: real models, sliced here. `adapters`: LoRA. `orders`: permutations.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from machine import machine_line
from symmetry_adapters import adapters_table
from symmetry_compressors import compressors_table
from symmetry_orders import orders_table
from symmetry_shapes import savings_table, times_table
from symmetry_small import small_models_table

Section = Callable[[], str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="default: all")
    parser.add_argument("--adapters", type=Path, help="folder with LoRA adapters, beside the synthetic ones")
    arguments = parser.parse_args()
    sections: dict[str, tuple[Section, ...]] = {
        "shapes": (savings_table, times_table),
        "compressors": (compressors_table,),
        "small": (small_models_table,),
        "adapters": (lambda: adapters_table(arguments.adapters),),
        "orders": (orders_table,),
    }
    if unknown := set(arguments.sections) - set(sections):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(sections)}")
    print(machine_line("numpy", "torch", "constriction"), flush=True)
    for name in arguments.sections or sections:
        for table in sections[name]:
            print(f"\n{table()}", flush=True)


if __name__ == "__main__":
    main()
