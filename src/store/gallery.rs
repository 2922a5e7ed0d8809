//! Galleries: the finished pictures of an owner, newest first, page by page.

use std::io::{Cursor, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::error::StoreError;
use super::files::{FileName, Files};
use super::owner::Owner;
use super::record::milliseconds;
use super::statements::owner_word;
use crate::engine::JobId;

const COLUMNS: &str =
    "p.number, p.generation, p.image, p.model, p.class, p.style, p.words, p.seed, p.created, p.favourite";
/// Words of a search that count.
const MAX_WORDS: usize = 16;
/// Bytes of the pictures in an archive at most.
const MAX_ARCHIVE: u64 = 32 << 20;

/// Which pictures of a gallery to list.
#[derive(Debug, Clone, Default)]
pub struct GalleryFilter {
    pub model: Option<String>,
    pub class: Option<String>,
    pub style: Option<String>,
    pub favourite: Option<bool>,
    /// Words that the picture's text begins its words with: prompt, subject, style, class and model.
    pub search: Option<String>,
    /// Finished at this time or later.
    pub after: Option<SystemTime>,
    /// Finished before this time.
    pub before: Option<SystemTime>,
}

/// Where a page of a gallery begins, and how long it is.
#[derive(Debug, Clone, Copy)]
pub struct GalleryRange {
    /// [`GalleryPage::next`] of the page before; `None` begins with the newest picture.
    pub cursor: Option<i64>,
    /// Pictures to leave out from there on.
    pub skip: u32,
    pub limit: u32,
}

/// A picture of a gallery.
#[derive(Debug, Clone, PartialEq)]
pub struct GalleryPicture {
    number: i64,
    pub generation: JobId,
    /// The image's index in its generation.
    pub image: u32,
    pub model: String,
    pub class: String,
    pub style: Option<String>,
    /// The prompt, or the subject.
    pub words: Option<String>,
    pub seed: u64,
    /// When its generation ended.
    pub created: SystemTime,
    pub favourite: bool,
}

/// A page of a gallery.
#[derive(Debug, Clone, PartialEq)]
pub struct GalleryPage {
    pub pictures: Vec<GalleryPicture>,
    /// Where the next page begins; `None` after the last picture.
    pub next: Option<i64>,
}

impl GalleryPicture {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        let generation: String = row.get(1)?;
        let created: u64 = row.get(8)?;
        Ok(Self {
            number: row.get(0)?,
            generation: generation.parse().map_err(|_| StoreError::Invalid("its id".into()))?,
            image: row.get(2)?,
            model: row.get(3)?,
            class: row.get(4)?,
            style: row.get(5)?,
            words: row.get(6)?,
            seed: row.get(7)?,
            created: UNIX_EPOCH + Duration::from_millis(created),
            favourite: row.get(9)?,
        })
    }
}

/// How many pictures of a model, a class and a style match a filter.
#[derive(Debug, Clone, PartialEq)]
pub struct GalleryGroup {
    pub model: String,
    pub class: String,
    pub style: Option<String>,
    pub pictures: u64,
}

/// The pictures of a gallery that match a filter, as parts of a statement. Only its parameters are of a client.
struct Selection {
    tables: &'static str,
    /// The column with the pictures' numbers.
    number: &'static str,
    conditions: Vec<&'static str>,
    values: Vec<Value>,
}

impl Selection {
    /// `None` if no picture can match.
    fn new(gallery: &str, filter: &GalleryFilter) -> Option<Self> {
        let mut selection = Self {
            tables: "pictures p",
            number: "p.number",
            conditions: vec!["p.owner = ?", "p.deleted IS NULL"],
            values: vec![gallery.to_owned().into()],
        };
        if let Some(search) = &filter.search {
            let words = match_words(search)?;
            // The words are looked up first, then their pictures.
            selection.tables = "picture_text t CROSS JOIN pictures p ON p.number = t.rowid";
            selection.number = "t.rowid";
            let expression = format!("owner : \"{}\" AND text : ({words})", owner_word(gallery));
            selection.add("picture_text MATCH ?", expression);
        }
        for (condition, value) in
            [("p.model = ?", &filter.model), ("p.class = ?", &filter.class), ("p.style = ?", &filter.style)]
        {
            if let Some(value) = value {
                selection.add(condition, value.clone());
            }
        }
        match filter.favourite {
            // A constant, so that SQLite uses the index of favourites.
            Some(true) => selection.conditions.push("p.favourite = 1"),
            Some(false) => selection.conditions.push("p.favourite = 0"),
            None => {}
        }
        if let Some(after) = filter.after {
            selection.add("p.created >= ?", milliseconds(after));
        }
        if let Some(before) = filter.before {
            selection.add("p.created < ?", milliseconds(before));
        }
        Some(selection)
    }

    fn add(&mut self, condition: &'static str, value: impl Into<Value>) {
        self.conditions.push(condition);
        self.values.push(value.into());
    }

    /// A statement that reads these columns.
    fn select(&self, columns: &str) -> String {
        format!("SELECT {columns} FROM {} WHERE {}", self.tables, self.conditions.join(" AND "))
    }
}

/// A page of at most `limit` pictures, after those that `cursor` says and `skip` further ones.
pub(super) fn page(
    database: &Connection,
    gallery: &str,
    filter: &GalleryFilter,
    GalleryRange { cursor, skip, limit }: GalleryRange,
) -> Result<GalleryPage, StoreError> {
    let Some(mut selection) = Selection::new(gallery, filter) else {
        return Ok(GalleryPage { pictures: Vec::new(), next: None });
    };
    let before = if selection.number == "t.rowid" { "t.rowid < ?" } else { "p.number < ?" };
    selection.add(before, cursor.unwrap_or(i64::MAX));
    let sql = format!("{} ORDER BY {} DESC LIMIT ? OFFSET ?", selection.select(COLUMNS), selection.number);
    // One more than asked for, to see whether there is a next page.
    selection.values.extend([(i64::from(limit) + 1).into(), i64::from(skip).into()]);
    let mut statement = database.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(selection.values))?;
    let mut pictures = Vec::new();
    while let Some(row) = rows.next()? {
        pictures.push(GalleryPicture::from_row(row)?);
    }
    let has_more = pictures.len() > limit as usize;
    pictures.truncate(limit as usize);
    let next = pictures.last().map(|last| last.number).filter(|_| has_more);
    Ok(GalleryPage { pictures, next })
}

/// The models, classes and styles of the pictures that match a filter, and how many there are of each.
pub(super) fn groups(
    database: &Connection,
    gallery: &str,
    filter: &GalleryFilter,
) -> Result<Vec<GalleryGroup>, StoreError> {
    let Some(selection) = Selection::new(gallery, filter) else { return Ok(Vec::new()) };
    let columns = "p.model, p.class, p.style, count(*)";
    let sql = format!("{} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3", selection.select(columns));
    let mut statement = database.prepare(&sql)?;
    let groups = statement.query_map(params_from_iter(selection.values), |row| {
        Ok(GalleryGroup { model: row.get(0)?, class: row.get(1)?, style: row.get(2)?, pictures: row.get(3)? })
    })?;
    Ok(groups.collect::<Result<_, _>>()?)
}

/// The words of a search as an expression of FTS5: each is quoted, and may be the beginning of a word. `None` if there are none.
fn match_words(search: &str) -> Option<String> {
    let is_word = |word: &&str| word.chars().any(char::is_alphanumeric);
    let words = search.split_whitespace().filter(is_word).take(MAX_WORDS);
    let words: Vec<String> =
        words.map(|word| format!("\"{}\" *", word.replace('"', "\"\"").replace('\0', ""))).collect();
    (!words.is_empty()).then(|| words.join(" AND "))
}

/// A picture's file, and whose generation it is of. `None` if there is none, or it was deleted.
pub(super) fn picture(
    database: &Connection,
    files: &Files,
    generation: JobId,
    image: u32,
) -> Result<Option<(Owner, Vec<u8>)>, StoreError> {
    let sql =
        "SELECT g.owner_key, g.owner_token, p.file FROM pictures p JOIN generations g ON g.id = p.generation
               WHERE p.generation = ?1 AND p.image = ?2 AND p.deleted IS NULL";
    let found: Option<(Option<String>, Option<String>, String)> = database
        .prepare(sql)?
        .query_row(params![generation.to_string(), image], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((key, token, file)) = found else { return Ok(None) };
    Ok(Some((Owner { key, token }, files.read(&file.parse()?)?)))
}

/// What becomes of a request for an archive.
#[derive(Debug)]
pub enum Archive {
    /// A ZIP file.
    Made(Vec<u8>),
    /// The gallery doesn't have this picture.
    Missing(JobId, u32),
    /// The pictures together are larger than an archive may be.
    TooLarge,
}

/// A ZIP file of pictures of a gallery.
pub(super) fn archive(
    database: &Connection,
    files: &Files,
    gallery: &str,
    pictures: &[(JobId, u32)],
) -> Result<Archive, StoreError> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    // PNG files are compressed already.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let invalid = |error: zip::result::ZipError| StoreError::File(std::io::Error::other(error));
    let mut size = 0;
    for (position, &(generation, image)) in pictures.iter().enumerate() {
        let sql = "SELECT class, seed, file, bytes FROM pictures
                   WHERE owner = ?1 AND generation = ?2 AND image = ?3 AND deleted IS NULL";
        let found: Option<(String, u64, String, u64)> = database
            .prepare(sql)?
            .query_row(params![gallery, generation.to_string(), image], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((class, seed, file, bytes)) = found else {
            return Ok(Archive::Missing(generation, image));
        };
        size += bytes;
        if size > MAX_ARCHIVE {
            return Ok(Archive::TooLarge);
        }
        let name = format!("{:04}-{}-{seed}-{image}.png", position + 1, plain(&class));
        zip.start_file(name, options).map_err(invalid)?;
        zip.write_all(&files.read(&file.parse::<FileName>()?)?)?;
    }
    let file = zip.finish().map_err(invalid)?;
    Ok(Archive::Made(file.into_inner()))
}

/// A class as a part of a file's name.
fn plain(class: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    class.chars().take(40).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::match_words;

    #[test]
    fn words_of_a_search_are_quoted() {
        assert_eq!(match_words("red  hea").as_deref(), Some("\"red\" * AND \"hea\" *"));
        assert_eq!(
            match_words("a\" OR owner:b").as_deref(),
            Some("\"a\"\"\" * AND \"OR\" * AND \"owner:b\" *")
        );
        assert_eq!(match_words(" \"* - "), None);
    }
}
