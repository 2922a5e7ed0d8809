"""The emoji data set: images of Unicode's emoji from several open icon sets, built from published packages.

`unicode` lists the emoji, `styles` fetches and renders the icon sets, `words` reads names and keywords, and `build` is
the stage `data`.
"""
