<?php
declare(strict_types=1);

namespace App\Guestbook;

use PDO;
use RuntimeException;

final class Repository
{
    private PDO $database;

    public function __construct(PDO $database)
    {
        $this->database = $database;
    }

    public function add(string $name, string $message): int
    {
        $statement = $this->database->prepare('INSERT INTO entries (name, message) VALUES (?, ?)');
        if (!$statement->execute([$name, $message])) {
            throw new RuntimeException('cannot store the entry');
        }
        return (int) $this->database->lastInsertId();
    }

    public function all(): array
    {
        return $this->database->query('SELECT * FROM entries')->fetchAll(PDO::FETCH_ASSOC);
    }
}

$repository = new Repository(new PDO('sqlite:guestbook.db'));
foreach ($repository->all() as $entry) {
    echo htmlspecialchars($entry['name']), ': ', htmlspecialchars($entry['message']), "<br>\n";
}
