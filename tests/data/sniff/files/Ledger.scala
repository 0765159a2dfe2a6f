package example.ledger

import scala.collection.mutable
import scala.util.{Failure, Success, Try}

sealed trait Entry { def amount: BigDecimal }
case class Credit(amount: BigDecimal) extends Entry
case class Debit(amount: BigDecimal) extends Entry

class Ledger(name: String) {
  private val entries = mutable.ListBuffer.empty[Entry]

  def +=(entry: Entry): Unit = entries += entry

  def balance: BigDecimal = entries.foldLeft(BigDecimal(0)) {
    case (sum, Credit(amount)) => sum + amount
    case (sum, Debit(amount))  => sum - amount
  }
}

object Ledger extends App {
  val ledger = new Ledger("cash")
  ledger += Credit(100)
  ledger += Debit(BigDecimal("12.50"))
  Try(ledger.balance) match {
    case Success(value) => println(s"balance: $value")
    case Failure(error) => error.printStackTrace()
  }
}
