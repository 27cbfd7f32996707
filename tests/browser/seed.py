"""``python -m tests.browser.seed``: runs methods of made-up runs against the store that the environment names.

Its argument is a JSON list of ``[class in tests/webapp/samples.py, method, fields, arguments]``.
"""

import json
import sys

import django


def main(steps: list[tuple[str, str, dict[str, object], dict[str, object]]]) -> None:
    from tests.webapp import samples

    for kind, method, fields, arguments in steps:
        getattr(getattr(samples, kind)(**fields), method)(**arguments)


if __name__ == "__main__":
    django.setup()
    main(json.loads(sys.argv[1]))
