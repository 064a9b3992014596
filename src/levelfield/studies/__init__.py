"""Study files, their plan, the executors that carry it out, and what joins, prunes and picks from the results."""

from levelfield.studies.declared.study import Study, list_studies

__all__ = ["Study", "list_studies"]
