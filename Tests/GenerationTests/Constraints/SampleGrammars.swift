/// Grammars that between them use every part of the language.
enum SampleGrammars {
  static let outline = """
    root ::= "Asks: " text "\\nproduct type: " v " - " text "\\nbrand: " v " - " text "\\nLabel: " ("exact" | "partial" | "irrelevant")
    v ::= "match" | "mismatch" | "unspecified"
    text ::= [^\\n]{1,60}
    """

  static let json = #"""
    # JSON, nested without bound.
    root   ::= object
    value  ::= object | array | string | number | ("true" | "false" | "null") ws

    object ::=
      "{" ws (
                string ":" ws value
        ("," ws string ":" ws value)*
      )? "}" ws

    array  ::=
      "[" ws (
                value
        ("," ws value)*
      )? "]" ws

    string ::=
      "\"" (
        [^"\\\x7F\x00-\x1F] |
        "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
      )* "\"" ws

    number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws

    # Optional space: by convention, applied in this grammar after literal chars when allowed
    ws ::= | " " | "\n" [ \t]{0,20}
    """#

  static let small: [String] = [
    #"root ::= "a" | "ab" | "abc" root?"#,
    #"root ::= "(" root ")" root | """#,
    #"root ::= ("a"? "b"?){2,5} "c""#,
    #"root ::= [a-c]{2,} "!"{0,3}"#,
    #"root ::= ([a-b]{1,3} "-"?){2,4}"#,
    #"root ::= [é-ü€火😀-😎]{1,4} [^a-z\n]"#,
    #"root ::= .{3} | "\u00e9\U0001F600""#,
    #"root ::= x* y; y ::= "b" x ::= "a" | "ab""#.replacing(";", with: ""),
    #"root ::= item ("," item)* item ::= "[" (item ("," item)*)? "]" | [0-9]{1,3}"#,
    #"root ::= ("x" | loop)? "y"+ loop ::= "z" loop | "w""#,
    #"root ::= (("a" | "b"){0,2}){3} ("" | "c")*"#,
    #"root ::= [a-z-]{1,} [\]\[^-]?"#,
  ]
}
