"""``python -m tests.browser.seed``: runs methods of made-up runs against the store that the environment names.

Its argument is a JSON list of ``[class, method, fields, arguments]``; classes are in tests/webapp/samples.py and
tests/webapp/frameworks.py.
"""

import json
import sys

import django


def main(steps: list[tuple[str, str, dict[str, object], dict[str, object]]]) -> None:
    from tests.webapp.frameworks import Framework
    from tests.webapp.samples import Golden, Sample, Varied

    kinds = {kind.__name__: kind for kind in (Framework, Golden, Sample, Varied)}
    for kind, method, fields, arguments in steps:
        getattr(kinds[kind](**fields), method)(**arguments)  # type: ignore[arg-type]


if __name__ == "__main__":
    django.setup()
    main(json.loads(sys.argv[1]))
