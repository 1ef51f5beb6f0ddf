/// Which device labels which pair: pairs of a query stay together, and no device lacks work while another has some
/// waiting.
///
/// A value without threads or clocks; ``DevicePool`` guards it.
struct HandOut {
  /// Pairs of one query that wait for a device.
  private struct Group {
    let query: String
    var pairs: ArraySlice<PairWork>
  }

  /// A device's share.
  private struct Lane {
    let capacity: Int
    var waiting: ArraySlice<Group> = []
    var waitingCount = 0
    var held: [Int: PairWork] = [:]
    /// The query of the pair that the device took last: it has that query's part of the prompt.
    var lastTaken: String?
    var finished = 0
    var isLost = false

    var load: Int { waitingCount + held.count }

    /// Whether it can give a whole query that it has not begun, and has something left.
    var hasSpare: Bool {
      waiting.count > 1 || waiting.first.map { $0.query != lastTaken && !held.isEmpty } ?? false
    }

    mutating func append(_ group: Group) {
      waitingCount += group.pairs.count
      if let last = waiting.indices.last, waiting[last].query == group.query {
        waiting[last].pairs += group.pairs
      } else {
        waiting.append(group)
      }
    }

    mutating func popFirst() -> PairWork? {
      guard let first = waiting.indices.first, let work = waiting[first].pairs.popFirst() else { return nil }
      if waiting[first].pairs.isEmpty { waiting.removeFirst() }
      waitingCount -= 1
      lastTaken = work.pair.query
      return work
    }
  }

  private var lanes: [Lane]
  /// Submitted since the last ``distribute()``.
  private var arriving: [Group] = []
  /// The query submitted last and the devices that have pairs of it: more of it may come.
  private var lastQuery: String?
  private var homes: Set<Int> = []
  /// How often pairs of a query were divided between devices because nothing else was left to hand out.
  private(set) var splits = 0

  /// - Parameter capacities: pairs that each device works on together.
  init(capacities: [Int]) { lanes = capacities.map { Lane(capacity: max(1, $0)) } }

  /// What the devices left work on, and as much again, so that none waits for the job.
  var capacity: Int { lanes.reduce(0) { $0 + ($1.isLost ? 0 : $1.capacity * 2) } }
  var isEmpty: Bool { arriving.isEmpty && lanes.allSatisfy { $0.load == 0 } }
  var hasDevices: Bool { lanes.contains { !$0.isLost } }
  /// Pairs that no device has taken.
  var waitingCount: Int { lanes.reduce(arriving.reduce(0) { $0 + $1.pairs.count }) { $0 + $1.waitingCount } }

  func finished(by device: Int) -> Int { lanes[device].finished }
  func held(by device: Int) -> Int { lanes[device].held.count }

  /// Takes a pair; pairs of a query are best submitted one after the other.
  mutating func submit(_ work: PairWork) {
    if let last = arriving.indices.last, arriving[last].query == work.pair.query {
      arriving[last].pairs.append(work)
    } else {
      arriving.append(Group(query: work.pair.query, pairs: [work]))
    }
  }

  /// Divides what was submitted among the devices; where one has nothing at all, others give.
  mutating func distribute() {
    guard hasDevices else { return }
    for group in arriving {
      if group.query != lastQuery {
        lastQuery = group.query
        homes = []
      }
      let lane = leastLoaded(homes) ?? leastLoaded(Set(lanes.indices)) ?? 0
      homes.insert(lane)
      lanes[lane].append(group)
    }
    arriving = []
    for lane in lanes.indices where !lanes[lane].isLost && lanes[lane].load == 0 {
      _ = give(to: lane, leavingOne: true)
    }
  }

  /// Pairs for a device up to its capacity, its own first, then those that wait longest for another.
  mutating func take(_ device: Int) -> [PairWork] {
    guard !lanes[device].isLost else { return [] }
    var taken: [PairWork] = []
    while lanes[device].held.count < lanes[device].capacity {
      if lanes[device].waiting.isEmpty, !give(to: device, leavingOne: false) { break }
      guard let work = lanes[device].popFirst() else { break }
      lanes[device].held[work.row] = work
      taken.append(work)
    }
    return taken
  }

  /// Notes that a device is done with a row; false where it did not have it.
  mutating func finish(_ device: Int, row: Int) -> Bool {
    guard lanes[device].held.removeValue(forKey: row) != nil else { return false }
    lanes[device].finished += 1
    return true
  }

  /// Gives all that a device had to the others, or keeps it where there is none.
  mutating func lose(_ device: Int) {
    let held = lanes[device].held.values.sorted { ($0.pair.query, $0.row) < ($1.pair.query, $1.row) }
    let waiting = lanes[device].waiting.flatMap(\.pairs)
    lanes[device].isLost = true
    lanes[device].held = [:]
    lanes[device].waiting = []
    lanes[device].waitingCount = 0
    homes.remove(device)
    for work in held + waiting { submit(work) }
    distribute()
  }

  private func leastLoaded(_ among: Set<Int>) -> Int? {
    among.filter { !lanes[$0].isLost }.min { left, right in
      let (a, b) = (lanes[left].load * lanes[right].capacity, lanes[right].load * lanes[left].capacity)
      return a == b ? left < right : a < b
    }
  }

  /// Moves a whole query's waiting pairs from the longest queue, or a part of them where its device is at that query
  /// already or would have nothing left.
  ///
  /// - Parameter leavingOne: whether the giver, where it has nothing in hand, keeps a pair in any case.
  private mutating func give(to taker: Int, leavingOne: Bool) -> Bool {
    let giver = lanes.indices.filter { $0 != taker && lanes[$0].waitingCount > 0 }.max { left, right in
      let (a, b) = (lanes[left], lanes[right])
      return a.hasSpare == b.hasSpare ? a.waitingCount < b.waitingCount : b.hasSpare
    }
    guard let giver else { return false }
    let hasSpare = lanes[giver].hasSpare
    guard var group = lanes[giver].waiting.popLast() else { return false }
    let count = group.pairs.count
    let isBegun = !hasSpare && group.query == lanes[giver].lastTaken
    var part = count
    if !hasSpare {
      let isIdle = lanes[giver].held.isEmpty
      part = isIdle && (leavingOne || count > 1) ? count / 2 : (count + 1) / 2
    }
    if part < count { part = min(part, max(1, lanes[taker].capacity - lanes[taker].held.count)) }
    let moved = Group(query: group.query, pairs: group.pairs.suffix(part))
    group.pairs.removeLast(part)
    if !group.pairs.isEmpty { lanes[giver].waiting.append(group) }
    lanes[giver].waitingCount -= part
    guard part > 0 else { return false }
    if part < count || isBegun { splits += 1 }
    if moved.query == lastQuery {
      if part == count, !isBegun { homes.remove(giver) }
      homes.insert(taker)
    }
    lanes[taker].append(moved)
    return true
  }
}
