"""The sections of the page, a file each; `page.page` says in which order they stand."""
