#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date


@dataclass
class Sale:
    day: date
    amount: float


def read(path):
    with open(path, newline="") as handle:
        for row in csv.DictReader(handle):
            yield Sale(date.fromisoformat(row["day"]), float(row["amount"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    totals = defaultdict(float)
    for path in arguments.files:
        for sale in read(path):
            totals[sale.day.replace(day=1)] += sale.amount
    for month, total in sorted(totals.items()):
        print(f"{month:%Y-%m}\t{total:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
