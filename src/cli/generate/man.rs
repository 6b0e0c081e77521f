//! Man pages: one for threadtune and one for each subcommand that help shows.

use super::Page;
use super::sections::{self, Section};
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::io;

/// How a paragraph of the help begins that tells exit codes.
const EXIT_CODES: &str = "Exit codes: ";

/// All pages, subcommands of subcommands too.
pub fn pages(command: Command) -> io::Result<Vec<Page>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    collect(&command, &mut pages)?;
    Ok(pages)
}

fn collect(command: &Command, pages: &mut Vec<Page>) -> io::Result<()> {
    pages.push(page(command)?);
    command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set())
        .try_for_each(|subcommand| collect(subcommand, pages))
}

fn page(command: &Command) -> io::Result<Page> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        // Pages do not depend on the day of the build. A date that is left out would make the source take its place.
        .date(r#""""#)
        .source(concat!("threadtune ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut roff = Vec::new();
    man.render_title(&mut roff)?;
    man.render_name_section(&mut roff)?;
    synopsis(command).to_writer(&mut roff)?;
    man.render_description_section(&mut roff)?;
    man.render_options_section(&mut roff)?;
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(&mut roff)?;
    }
    let mut rest = Roff::new();
    notes(&mut rest, command);
    for section in sections::of(name) {
        listed(&mut rest, &section);
    }
    if command.get_name() != name {
        rest.control("SH", ["SEE ALSO"]);
        rest.text([bold("threadtune"), roman("(1)")]);
    }
    rest.to_writer(&mut roff)?;
    Ok(Page {
        name: man.get_filename(),
        text: with_bold_code(&with_one_preamble(&String::from_utf8_lossy(&roff))).into_bytes(),
    })
}

/// The usage as the help has it.
fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([roman(usage)]);
    roff
}

/// What the help says below the options: exit codes have a section of their own, indented lines keep their form.
fn notes(roff: &mut Roff, command: &Command) {
    let text = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let (codes, notes): (Vec<&str>, Vec<&str>) = text
        .split("\n\n")
        .filter(|paragraph| !paragraph.trim().is_empty())
        .partition(|paragraph| paragraph.starts_with(EXIT_CODES));
    if !notes.is_empty() {
        roff.control("SH", ["NOTES"]);
    }
    for paragraph in notes {
        roff.control("PP", []);
        let mut literal = false;
        for line in paragraph.lines() {
            if line.starts_with(' ') != literal {
                literal = !literal;
                roff.control(if literal { "nf" } else { "fi" }, []);
            }
            roff.text([roman(line)]);
        }
        if literal {
            roff.control("fi", []);
        }
    }
    for paragraph in codes {
        roff.control("SH", ["EXIT STATUS"]);
        roff.text([roman(&paragraph[EXIT_CODES.len()..])]);
    }
}

fn listed(roff: &mut Roff, section: &Section) {
    roff.control("SH", [section.title]);
    roff.text([roman(section.introduction)]);
    for (term, text) in &section.entries {
        roff.control("TP", []);
        roff.text([bold(term)]);
        roff.text([roman(text)]);
    }
}

/// Every part of a page is rendered with the same definitions before it; once is enough.
fn with_one_preamble(roff: &str) -> String {
    let preamble = Roff::new().render();
    preamble.clone() + &roff.replace(&preamble, "")
}

/// Code between backquotes, as the help has it, in bold, as manuals have it.
fn with_bold_code(roff: &str) -> String {
    let mut page = String::with_capacity(roff.len());
    for line in roff.split_inclusive('\n') {
        let mut parts = line.split('`');
        page.push_str(parts.next().unwrap_or_default());
        let mut is_code = false;
        for part in parts {
            is_code = !is_code;
            page.push_str(if is_code { r"\fB" } else { r"\fR" });
            page.push_str(part);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roff_of(after_help: &'static str) -> String {
        let mut roff = Roff::new();
        notes(&mut roff, &Command::new("c").after_help(after_help));
        roff.to_roff()
    }

    #[test]
    fn exit_codes_leave_the_notes_and_tables_keep_their_form() {
        let help = "First.\n\nA table:\n  a  1\n  b  2\nand on\n\nExit codes: 0 done; 1 not";
        assert_eq!(
            roff_of(help),
            ".SH NOTES\n.PP\nFirst.\n.PP\nA table:\n.nf\n  a  1\n  b  2\n.fi\nand on\n\
             .SH \"EXIT STATUS\"\n0 done; 1 not\n"
        );
        assert_eq!(roff_of("Exit codes: 0"), ".SH \"EXIT STATUS\"\n0\n");
        assert_eq!(roff_of("T:\n  a"), ".SH NOTES\n.PP\nT:\n.nf\n  a\n.fi\n");
        assert_eq!(roff_of(""), "");
    }

    #[test]
    fn code_is_bold() {
        let page = with_bold_code("see `tune \\-\\-record`.\n.SH X\n`a` or `b`\n");
        assert_eq!(
            page,
            "see \\fBtune \\-\\-record\\fR.\n.SH X\n\\fBa\\fR or \\fBb\\fR\n"
        );
    }
}
