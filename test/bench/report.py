"""What the benchmarks share: writing a table into a page of the documentation."""


def write_report(path, name, text):
    """Put the text between the markers of that name."""
    with open(path) as file:
        page = file.read()
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    head, rest = page.split(begin)
    with open(path, "w") as file:
        file.write(head + begin + text + end + rest.split(end)[1])


def show_report(path, name, text):
    """Write the text into the page, or print it where there is none."""
    if path is None:
        print(text)
    else:
        write_report(path, name, text)
