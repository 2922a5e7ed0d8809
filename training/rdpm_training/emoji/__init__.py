"""The emoji data set: pictures of Unicode's emoji as several open icon sets draw them, built from published packages.

`unicode` knows which emoji there are, `styles` fetches the icon sets and renders them, `build` is the stage `data`.
"""
