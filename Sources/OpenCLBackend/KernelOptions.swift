/// Options of a program's build: `"-DVEC=\(vector) "`, kept as the literals and numbers that it is written from.
///
/// A kernel is looked up by its options at every launch, so they are told apart without a string being put
/// together: a literal by its place in the binary. Options of one text from two places differ; ``KernelLibrary``
/// finds the same kernel for both.
struct KernelOptions: Sendable {
  private enum Piece: Sendable {
    case literal(StaticString)
    /// A parameter's name, which a table may bring.
    case name(String)
    case number(Int)
  }

  private var pieces: [Piece] = []
  /// Of the pieces, so that hashing need not walk them.
  private var digest = 0

  /// What a compiler gets.
  var text: String {
    pieces.reduce(into: "") { text, piece in
      switch piece {
      case .literal(let literal): text += literal.description
      case .name(let name): text += name
      case .number(let number): text += String(number)
      }
    }
  }

  private mutating func append(_ piece: Piece) {
    let word =
      switch piece {
      case .literal(let literal): Int(bitPattern: literal.utf8Start)
      case .name(let name): name.hashValue
      case .number(let number): number
      }
    // Fibonacci hashing, a step for each piece.
    digest = (digest ^ word) &* 0x1E37_79B9_7F4A_7C15
    digest ^= digest >> 29
    pieces.append(piece)
  }

  static func += (options: inout KernelOptions, more: KernelOptions) {
    if options.pieces.isEmpty {
      options = more
    } else {
      for piece in more.pieces { options.append(piece) }
    }
  }

  static func + (options: consuming KernelOptions, more: KernelOptions) -> KernelOptions {
    options += more
    return options
  }
}

extension KernelOptions: Hashable {
  static func == (a: KernelOptions, b: KernelOptions) -> Bool {
    guard a.digest == b.digest, a.pieces.count == b.pieces.count else { return false }
    for index in a.pieces.indices {
      switch (a.pieces[index], b.pieces[index]) {
      case (.literal(let one), .literal(let other)):
        guard one.utf8Start == other.utf8Start, one.utf8CodeUnitCount == other.utf8CodeUnitCount else {
          return false
        }
      case (.name(let one), .name(let other)): guard one == other else { return false }
      case (.number(let one), .number(let other)): guard one == other else { return false }
      default: return false
      }
    }
    return true
  }

  func hash(into hasher: inout Hasher) { hasher.combine(digest) }
}

extension KernelOptions: ExpressibleByStringInterpolation {
  struct StringInterpolation: StringInterpolationProtocol {
    fileprivate var options = KernelOptions()

    init(literalCapacity: Int, interpolationCount: Int) {
      options.pieces.reserveCapacity(2 * interpolationCount + 1)
    }

    // The compiler also passes what stands between two numbers where that is nothing.
    mutating func appendLiteral(_ literal: StaticString) {
      if literal.utf8CodeUnitCount > 0 { options.append(.literal(literal)) }
    }

    mutating func appendInterpolation(_ number: Int) { options.append(.number(number)) }

    mutating func appendInterpolation(name: String) { options.append(.name(name)) }
  }

  init(stringLiteral: StaticString) {
    if stringLiteral.utf8CodeUnitCount > 0 { append(.literal(stringLiteral)) }
  }

  init(stringInterpolation: StringInterpolation) { self = stringInterpolation.options }
}
