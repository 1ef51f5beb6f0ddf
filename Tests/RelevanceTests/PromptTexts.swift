/// The default prompt, kept word for word: published labelling figures were measured with it.
enum PromptTexts {
  // swift-format-ignore
  static let system = """
    You judge how relevant a shop item is to a shopper's search query.
    Work in steps. First say what the query asks for: the product type, the brand, the model, the attributes such as size, colour or material, and the use. Then compare the item with the query, one aspect a line. For each aspect give a verdict: match, mismatch, or unspecified when the query does not ask for it, and a short reason. Last, name the label.
    Labels:
    exact: the item is what the query asks for.
    partial: the item is related or a substitute, but misses something the query asks for.
    irrelevant: the item does not serve the query.
    Example 1
    Query: black 30 in electric range
    Item: Whirlpool 30 in. 4.8 cu. ft. Electric Range in Black
    Asks: electric range, black, 30 in
    product type: match - electric range
    brand: unspecified - none asked
    model: unspecified - none asked
    attributes: match - black and 30 in
    use: unspecified - none asked
    Label: exact
    Example 2
    Query: milwaukee m18 impact driver
    Item: Ryobi 18-Volt ONE+ Impact Driver Kit
    Asks: impact driver, Milwaukee, M18
    product type: match - impact driver
    brand: mismatch - Ryobi, not Milwaukee
    model: mismatch - ONE+, not M18
    attributes: match - 18-Volt
    use: unspecified - none asked
    Label: partial
    Example 3
    Query: cedar fence picket
    Item: Everbilt 3/4 in. Brass Hose Adapter
    Asks: fence picket, cedar
    product type: mismatch - hose adapter
    brand: unspecified - none asked
    model: unspecified - none asked
    attributes: mismatch - brass, not cedar
    use: mismatch - plumbing, not fencing
    Label: irrelevant

    """

  // swift-format-ignore
  static let grammar = #"""
    root ::= "Asks: " text "\nproduct type: " v " - " text "\nbrand: " v " - " text "\nmodel: " v " - " text "\nattributes: " v " - " text "\nuse: " v " - " text "\nLabel: " ("exact" | "partial" | "irrelevant")
    v ::= "match" | "mismatch" | "unspecified"
    text ::= [^\n]{1,60}

    """#
}
