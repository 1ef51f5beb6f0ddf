import ArgumentParser

/// What `--device` takes: a number, several with commas between them, or all.
enum DeviceList: ExpressibleByArgument, Equatable {
  case all
  case numbers([Int])

  init?(argument: String) {
    if argument == "all" {
      self = .all
      return
    }
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    let numbers = parts.compactMap { Int($0) }
    guard numbers.count == parts.count, Set(numbers).count == numbers.count, numbers.allSatisfy({ $0 >= 0 })
    else { return nil }
    self = .numbers(numbers)
  }

  /// The one device of a command that runs on one.
  ///
  /// - Throws: a usage error where there are several.
  func single() throws -> Int {
    if case .numbers(let numbers) = self, numbers.count == 1 { return numbers[0] }
    throw ValidationError(
      "This command runs on one device: give --device one number. 'retort label' takes several.")
  }
}
