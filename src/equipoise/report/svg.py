"""Matplotlib's SVG made small, free of clashing ids, and coloured by the page's own variables."""

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as Tree

_NUMBER = re.compile(r"-?\d+\.\d+")
_DROPPED = ("metadata", "title", "style")
_USELESS_STYLES = ("stroke-linejoin: miter", "stroke-linecap: butt", "stroke-miterlimit: 100000", "opacity: 1")


def page_svg(source: str, prefix: str, colours: Mapping[str, str], label: str) -> str:
    """Return an SVG drawing ready to stand in a page beside others.

    Args:
        source: A whole SVG document as matplotlib writes it.
        prefix: Put before every id, so that drawings on one page cannot refer to each other's parts.
        colours: Drawn colour (lower-case `#rrggbb`) to the CSS colour that replaces it.
        label: What the drawing shows, in words, for those who cannot see it.
    """
    root = Tree.fromstring(source)
    _strip_namespaces(root)
    for parent in list(root.iter()):
        for child in [one for one in parent if one.tag in _DROPPED]:
            parent.remove(child)
    _rename_ids(root, prefix)
    _flatten(root)
    for element in root.iter():
        _shorten(element, colours)
    box = root.get("viewBox", "0 0 400 240")
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-label": label, "class": "drawing"})
    heading = Tree.Element("title")
    heading.text = label
    root.insert(0, heading)
    return Tree.tostring(root, encoding="unicode")


def _strip_namespaces(root: Tree.Element) -> None:
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.text = element.text if element.text and element.text.strip() else None
        element.tail = element.tail if element.tail and element.tail.strip() else None
        for name in [one for one in element.attrib if "}" in one]:
            element.set(name.rpartition("}")[2], element.attrib.pop(name))


def _rename_ids(root: Tree.Element, prefix: str) -> None:
    """Keep only the ids that something points at, with the prefix."""
    pointed = {reference for element in root.iter() for reference in _references(element)}
    for element in root.iter():
        identity = element.attrib.pop("id", None)
        for name, value in element.attrib.items():
            marker = "#" if name == "href" else "url(#"
            element.set(name, value.replace(marker, marker + prefix))
        if identity in pointed:
            element.set("id", f"{prefix}{identity}")


def _references(element: Tree.Element) -> Iterator[str]:
    for name, value in element.attrib.items():
        if name == "href":
            yield value.removeprefix("#")
        else:
            yield from re.findall(r"url\(#([^)]+)\)", value)


def _flatten(parent: Tree.Element) -> None:
    """Lift the children of groups that carry nothing, so that only what draws remains."""
    children: list[Tree.Element] = []
    for child in list(parent):
        _flatten(child)
        if child.tag == "g" and not child.attrib:
            children += list(child)
        elif child.tag != "defs" or len(child):
            children.append(child)
    for child in list(parent):
        parent.remove(child)
    parent.extend(children)


def _shorten(element: Tree.Element, colours: Mapping[str, str]) -> None:
    for name in ("d", "x", "y", "width", "height", "transform"):
        if name in element.attrib:
            rounded = _NUMBER.sub(lambda match: f"{float(match[0]):.1f}".removesuffix(".0"), element.attrib[name])
            element.set(name, " ".join(rounded.split()))
    if "style" in element.attrib:
        element.set("style", _style(element.attrib["style"], colours))


def _style(style: str, colours: Mapping[str, str]) -> str:
    declarations = [one.strip() for one in style.split(";") if one.strip() and one.strip() not in _USELESS_STYLES]
    kept = []
    for declaration in declarations:
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            size = re.search(r"[\d.]+px", value)
            name, value = "font-size", size[0] if size else "10px"
        kept.append(f"{name}:{colours.get(value.lower(), value)}")
    return ";".join(kept)
