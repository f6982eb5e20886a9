//! From text to nodes: an event at a time, with every bound counted on the way.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};

use super::limits::{ALIASED_VALUES_MAX, DEPTH_MAX, DOCUMENTS_MAX, SOURCE_MAX_BYTES, VALUES_MAX};
use super::mapping::Mapping;
use super::{Entry, Node, Place, SourceId, Sources, Value, scalar};
use crate::problem::{Code, Problem};

/// The documents of one text. Empty documents are left out.
///
/// # Errors
/// The first thing that stops the reading. A text is read whole or not at all: half a file of policies would mean
/// something else than the file.
pub fn documents(sources: &Sources, id: SourceId) -> Result<Vec<Node>, Box<Problem>> {
    let text = sources.text(id);
    if text.len() > SOURCE_MAX_BYTES {
        let message = format!("the text has {} bytes, at most {SOURCE_MAX_BYTES} are accepted", text.len());
        return Err(Box::new(Problem::new(Code::TooLarge, Place { source: id, ..Place::default() }, message)));
    }
    Reader::new(text, id).all()
}

type Step<T> = Result<T, Box<Problem>>;

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    source: SourceId,
    values: usize,
    aliased: usize,
    depth: usize,
    /// What each anchor stands for, and how many values that is.
    anchors: HashMap<usize, (Node, usize)>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, source: SourceId) -> Self {
        let options = granit_parser::options! { disallow_directives: true, emit_comments: false };
        let events = Parser::new_from_str_with_options(text, options);
        Self { events, source, values: 0, aliased: 0, depth: 0, anchors: HashMap::new() }
    }

    fn all(mut self) -> Step<Vec<Node>> {
        let mut documents = Vec::new();
        let mut count = 0_usize;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::DocumentStart(..) => {
                    count += 1;
                    if count > DOCUMENTS_MAX {
                        return self.too_large(&span, &format!("at most {DOCUMENTS_MAX} documents"));
                    }
                    self.anchors.clear();
                }
                Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                event => {
                    let node = self.node(event, &span)?;
                    if node.value != Value::Null {
                        documents.push(node);
                    }
                }
            }
        }
        Ok(documents)
    }

    fn next(&mut self) -> Step<Option<(Event<'a>, Span)>> {
        match self.events.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => {
                let at = place(self.source, error.marker(), 1);
                Err(Box::new(Problem::new(Code::NotYaml, at, format!("not YAML: {}", error.info()))))
            }
        }
    }

    /// The next event of a node that has begun. The parser ends no node early without an error.
    fn inside(&mut self, span: &Span) -> Step<(Event<'a>, Span)> {
        match self.next()? {
            Some(event) => Ok(event),
            None => self.refuse(Code::NotYaml, span, "the text ends inside a value"),
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span) -> Step<Node> {
        self.count(span)?;
        let before = self.values;
        let at = self.place(span);
        let (value, anchor) = match event {
            Event::Alias(id) => return self.alias(id, span),
            Event::Scalar(text, style, anchor, tag) => (self.scalar(&text, style, tag.as_deref(), span)?, anchor),
            Event::SequenceStart(_, anchor, tag) => {
                self.no_tag(tag.as_deref(), "seq", span)?;
                (self.nested(span, Self::list)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.no_tag(tag.as_deref(), "map", span)?;
                (self.nested(span, Self::map)?, anchor)
            }
            _ => return self.refuse(Code::NotYaml, span, "a value was expected here"),
        };
        let node = Node { at, value };
        if anchor != 0 {
            // Kept for the aliases, so it counts as one already: anchors within anchors stay bounded.
            let size = self.values - before + 1;
            self.count_aliased(size, span)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok(node)
    }

    fn nested(&mut self, span: &Span, read: fn(&mut Self, &Span) -> Step<Value>) -> Step<Value> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.too_large(span, &format!("at most {DEPTH_MAX} levels of nesting"));
        }
        let value = read(self, span)?;
        self.depth -= 1;
        Ok(value)
    }

    fn list(&mut self, span: &Span) -> Step<Value> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.inside(span)?;
            if event == Event::SequenceEnd {
                return Ok(Value::List(items));
            }
            items.push(self.node(event, &span)?);
        }
    }

    fn map(&mut self, span: &Span) -> Step<Value> {
        let mut mapping = Mapping::default();
        loop {
            let (event, key_span) = self.inside(span)?;
            let (key, style) = match event {
                Event::MappingEnd => return Ok(Value::Map(mapping.entries)),
                Event::Scalar(text, style, ..) => (text, style),
                _ => return self.refuse(Code::Unsupported, &key_span, "a key that is not a plain name"),
            };
            self.count(&key_span)?;
            let (event, value_span) = self.inside(&key_span)?;
            let node = self.node(event, &value_span)?;
            let added = if key == "<<" && style == ScalarStyle::Plain {
                mapping.merge(node)
            } else {
                mapping.add(Entry { key: key.into(), key_at: self.place(&key_span), node })
            };
            if let Err((code, message)) = added {
                return self.refuse(code, &key_span, &message);
            }
        }
    }

    fn alias(&mut self, id: usize, span: &Span) -> Step<Node> {
        let Some((node, size)) = self.anchors.get(&id) else {
            return self.refuse(Code::Unsupported, span, "an alias stands inside what it names");
        };
        let (node, size) = (node.clone(), *size);
        self.count_aliased(size, span)?;
        // So that an anchor around this alias knows how large it is.
        self.values += size;
        Ok(node)
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: &Span) -> Step<Value> {
        match (tag.map(Tag::core_suffix), style) {
            (None, ScalarStyle::Plain) => Ok(scalar::plain(text)),
            (None, _) | (Some(Some("str")), _) => Ok(Value::Text(text.into())),
            (Some(_), _) => self.refuse(Code::Unsupported, span, "a tag other than `!!str` on a value"),
        }
    }

    fn no_tag(&self, tag: Option<&Tag>, allowed: &str, span: &Span) -> Step<()> {
        match tag {
            Some(tag) if tag.core_suffix() != Some(allowed) => {
                self.refuse(Code::Unsupported, span, "a tag on a list or mapping")
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, span: &Span) -> Step<()> {
        self.values += 1;
        if self.values > VALUES_MAX { self.too_large(span, &format!("at most {VALUES_MAX} values")) } else { Ok(()) }
    }

    fn count_aliased(&mut self, size: usize, span: &Span) -> Step<()> {
        self.aliased += size;
        if self.aliased > ALIASED_VALUES_MAX {
            let message = format!("the aliases up to here stand for more than {ALIASED_VALUES_MAX} values");
            return self.refuse(Code::AliasBound, span, &message);
        }
        Ok(())
    }

    fn too_large<T>(&self, span: &Span, what: &str) -> Step<T> {
        self.refuse(Code::TooLarge, span, &format!("more than is accepted: {what}"))
    }

    fn refuse<T>(&self, code: Code, span: &Span, message: &str) -> Step<T> {
        Err(Box::new(Problem::new(code, self.place(span), message)))
    }

    fn place(&self, span: &Span) -> Place {
        let one_line = span.start.line() == span.end.line();
        let length = if one_line { span.end.col().saturating_sub(span.start.col()) } else { 1 };
        place(self.source, &span.start, length)
    }
}

fn place(source: SourceId, marker: &Marker, length: usize) -> Place {
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Place { source, line: small(marker.line()), column: small(marker.col() + 1), length: small(length) }
}
