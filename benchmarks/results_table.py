"""Write the tables published | measured | difference | inside the interval into pages, from the committed results.

    python benchmarks/results_table.py --write docs/results.md README.md   # their marked parts, from results/
    python benchmarks/results_table.py 'cpu/*'                             # print those of some studies
    python benchmarks/results_table.py --pages docs/pages/*.html           # the whole pages of those studies, too
    python benchmarks/results_table.py --pictures docs/images              # the forest plots that a page shows

Nothing in such a part is edited by hand: a test compares every committed page with what this writes. A page says where
with two lines, `<!-- results of cpu/*: generated, do not edit -->` and `<!-- end of results -->`.
The whole pages are those of `levelfield report` of the one study of that name, wherever it lies below results/. Their
example images come from the data, where LEVELFIELD_DATA has it; else those that a page holds already are kept.
"""

from __future__ import annotations

import argparse
import os
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from levelfield.errors import UserError
from levelfield.page.page import ImageOf, write_page
from levelfield.page.sections.compared import forest_picture
from levelfield.page.thumbnails import images_in, images_of
from levelfield.runs import write_text
from levelfield.tables import StudyTable, build_table, read_study
from levelfield.tables.repository_results import fill, markdown, picture_file, studies_in, study_called


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default="*", help="studies to print, by their path below the results")
    parser.add_argument("--write", type=Path, nargs="+", metavar="PAGE", help="pages whose marked parts to write")
    parser.add_argument(
        "--pages", type=Path, nargs="+", metavar="PAGE", help="NAME.html: write the page of the study NAME"
    )
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="write the studies' forest plots there")
    parser.add_argument("--results", type=Path, default=Path(__file__).parents[1] / "results")
    options = parser.parse_args(arguments)
    if not options.write and not options.pages and not options.pictures:
        sys.stdout.write(markdown(options.results, options.pattern))
    for page in options.write or ():
        before = page.read_text(encoding="utf-8")
        after = fill(before, options.results, images_from(page, options.results))
        if after != before:
            write_text(page, after)
        print(f"{page}: {'written' if after != before else 'as it was'}", file=sys.stderr)
    for page in options.pages or ():
        table = build_table(read_study(options.results / study_called(page.stem, options.results)))
        write_page(table, page, pictures(table, page))
        print(f"{page}: written", file=sys.stderr)
    for name in studies_in(options.results) if options.pictures else ():
        if fnmatchcase(name, options.pattern):
            drawn = forest_picture(build_table(read_study(options.results / name)))
            if drawn is not None:
                write_text(options.pictures / picture_file(name), drawn)
                print(f"{options.pictures / picture_file(name)}: written", file=sys.stderr)


def images_from(page: Path, results: Path) -> str:
    """The folder of the pictures, docs/images beside `results`, as a link of `page` names it."""
    return Path(os.path.relpath(results.resolve().parent / "docs" / "images", page.resolve().parent)).as_posix()


def pictures(table: StudyTable, page: Path) -> ImageOf:
    """Thumbnails of the test images of `table`: from the data, else those that `page` holds."""
    try:
        return images_of(table)
    except UserError as error:
        held = images_in(page.read_text(encoding="utf-8")) if page.is_file() else {}
        why = str(error).partition("\n")[0]
        print(f"{page}: {len(held)} example images, as they were: {why}", file=sys.stderr)
        return held.get


if __name__ == "__main__":
    main()
