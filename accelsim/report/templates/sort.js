(function () {
  "use strict";
  function key(row, place, numbers) {
    var text = row.cells[place].textContent.trim();
    return numbers ? (text === "" ? NaN : parseFloat(text.replace(/,/g, ""))) : text;
  }
  function sort(head, button, place) {
    var table = head.closest("table"), body = table.tBodies[0];
    var up = head.getAttribute("aria-sort") !== "ascending";
    var numbers = head.classList.contains("number");
    var rows = Array.prototype.slice.call(body.rows).map(function (row, index) {
      return { row: row, index: index, key: key(row, place, numbers) };
    });
    rows.sort(function (a, b) {
      var order;
      if (numbers) {
        // What has no number comes last, whichever way.
        if (isNaN(a.key) || isNaN(b.key)) return isNaN(a.key) - isNaN(b.key) || a.index - b.index;
        order = a.key - b.key;
      } else order = a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
      return (up ? order : -order) || a.index - b.index;
    });
    rows.forEach(function (item) { body.appendChild(item.row); });
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (other) {
      other.removeAttribute("aria-sort");
    });
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  }
  document.querySelectorAll("table.sorts").forEach(function (table) {
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (head, place) {
      var button = document.createElement("button");
      button.type = "button";
      while (head.firstChild) button.appendChild(head.firstChild);
      button.addEventListener("click", function () { sort(head, button, place); });
      head.appendChild(button);
    });
  });
})();
